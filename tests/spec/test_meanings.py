from __future__ import annotations

from orchestrator.spec.job import CausalLmJob, FinetuneJob
from orchestrator.spec.meanings import MEANINGS
from orchestrator.spec.schema import keys


def test_every_key_of_a_job_has_its_meaning_and_there_is_no_other() -> None:
    known = {key.path for job in (CausalLmJob, FinetuneJob) for key in keys(job)}

    assert known == set(MEANINGS)
