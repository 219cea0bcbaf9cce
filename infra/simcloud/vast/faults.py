"""What goes wrong with Vast alone, beside what `infra/simcloud/faults.py` lists for every provider.

Shared names mean here: `no_capacity` is an ask that is gone (`shape`: 400, 404, 410, 200 or 409),
`rate_limit` comes in every body that was seen (`shape`: json, plain, plain_threshold, detail,
retry_after), `restart_loop` shows `exited` and `running` in turn, `vanishes` shows `offline`,
`boot_stuck` a status of null for ever, `starting_stuck` `loading` for ever, `image_error` the same
with `text` in status_msg.
"""

from __future__ import annotations

from infra.simcloud.faults import Words

# Of any call, in the operation that is named:
_ANY_CALL = {
    "tfa": "401: Two Factor Authentication",
    "session_ended": "404: Session expired",
    "success_false": "200, with success false and nothing done",
    "empty_object": "200 and {}",
}
_BELONGS_TO = {
    "spend_rate_limit": "create",
    "offer_not_own": "create",  # 403/3586
    "server_error": "create",  # 400 (`status`) server_error, nothing rented
    "no_id": "create",  # rents, and answers 200 without new_contract
    "html_200": "create",  # rents, and answers 200 with a page
    "phantom": "create",  # 200 with an id that never appears
    "low_bid": "create",  # leaves a stopped instance: an error with new_contract
    "search_quota": "catalog",  # 429 search_quota_exceeded until midnight
    "token_repeats": "list",  # next_token leads to the same page
    "empty_page": "list",  # no rows, and a next_token that goes on
    "get_null": "get",  # 200 null although it is there
    "delete_refused": "delete",  # 200, success false
    "delete_lags": "delete",  # done, but shown and listed for `seconds` (20) more
    "start_unavailable": "action",  # 200 resources_unavailable
    "created_stuck": "machine",
    "oci_error": "machine",  # created, all states stopped, `text` in status_msg
    "odd_status": "machine",  # `word` while it is starting, or as `when` says: running, stopped
    "loading_stopped": "machine",  # cur_state is stopped while it still loads
    # These two happen `seconds` (0) after it runs:
    "goes_unknown": "machine",  # for `lasts` (120) s
    "expires": "machine",  # its contract ends
    "ports_list_only": "machine",  # the single GET has none
    "ports_late": "machine",  # they come `seconds` (30) after it runs
    "ports_missing": "machine",
    "ports_host_ip_only": "machine",
    "untidy_address": "machine",  # a newline in public_ipaddr
    "ssh_no_auth": "machine",  # a banner, and no key is accepted
    "key_late": "machine",  # keys are accepted `seconds` (30) after sshd answers
    "login_noise": "machine",  # text on stdout, and tmux, unless ~/.no_auto_tmux is there
    "disk_smaller": "machine",  # `factor` (0.5) of the disk that was asked for
    "env_missing": "machine",  # no CONTAINER_API_KEY
    "charges_partial": "billing",  # standing: of each charge only the GPU
    "balance_only": "account",  # no `credit`
    "balance_unknown": "account",  # neither `credit` nor `balance`
}
WORDS = Words(
    any_call=_ANY_CALL,
    belongs_to=_BELONGS_TO,
    standing={"charges_partial"},
    only={"start_unavailable": ("action", "running")},
)

OCI_ERROR = (
    "Error response from daemon: failed to create task for container: failed to create shim task: "
    "OCI runtime create failed: CDI device injection failed: unresolvable CDI devices D.1/gpu=0"
)
