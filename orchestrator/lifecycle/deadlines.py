"""The longest stay in each state, one table; the engine's steps read it."""

from __future__ import annotations

from orchestrator.runs.states import State

START_BY_S = 900.0  # a plan is good for so long, without --wait

# Awake or not: seconds since the state was entered. None: another limit holds there.
LONGEST_S: dict[State, float | None] = {
    State.PLANNED: None,  # start_by
    State.RENTING: None,  # one call
    State.LOOKING: None,  # settle_s of the provider
    State.BOOTING: None,  # boot_deadline_s of the provider
    State.SHIPPING: 3600.0,  # without a byte that moves
    State.SETTING_UP: 3600.0,
    State.RUNNING: None,  # stop_s of the lease
    State.COLLECTING: None,  # hold, deadline and cap
    State.RETURNING: None,  # for ever: until gone
    State.ENDED: None,
}

MANIFEST_S = 900.0  # program's end → manifest
PAST_DEADLINE_S = 900.0  # then a reaper without a store ends a machine
OWN_PAST_DEADLINE_S = 7 * 86_400.0  # on a computer of one's own: results may wait
REAPED_S = PAST_DEADLINE_S + 600.0  # its deadline → ended by one that searches now and then
LOGIN_S = 240.0  # address known → first login
UNSHIPPED_S = 1200.0  # boot → its guard ends a machine to which nothing was shipped
SLOW_BOOT_S = 600.0
LATE_S = 600.0  # to collect from a machine that outlived its deadline, beside the expected time
AGENT_SILENT_S = 60.0  # then it is asked whether it lives
SHELL_RETRY_S = 2.0
MOST_REFUSALS = 40  # leases of refused creates that are kept while a run waits for capacity
SECOND_MISS_S = 5.0  # RunPod facts §9: two full reads at least 5 s apart
DRILL_LATE_S = 300.0  # a guard has so long to find a way, once its deadline has passed
MAX_CREATED = 6  # machines of one run
IDLE_SHARE = 0.2  # of the cap, on machines that did no work
