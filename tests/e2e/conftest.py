from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.demo import bare_environment
from infra.pip_to_uv import uv_environment
from infra.program_environment import kept_folder
from infra.simcloud.machines.image import read_host
from tests.e2e.cloud import Cloud
from tests.e2e.person import Person
from tests.e2e.places import OwnPlace, Place, RentedPlace
from tests.e2e.store import Store
from tests.providers.ssh_host.workstation import Workstation


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The caller's environment without keys and homes; packages come from where pip's come."""
    base = bare_environment(os.environ)
    return base | uv_environment(base)


@pytest.fixture(scope="session")
def shared_cloud(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """One simulated cloud for every test that does not end it."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"), environment, "--boot-s", "0.5")
    yield cloud
    cloud.close()


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Iterator[Cloud]:
    """The cloud, in which nothing goes wrong unless the test says so."""
    yield shared_cloud
    shared_cloud.clear_faults()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """The cloud, unless a test is told elsewhere: see places.py."""
    if getattr(request, "param", "runpod") == "ssh_host":
        return OwnPlace(request.getfixturevalue("tower"))
    return RentedPlace(request.getfixturevalue("cloud"))


@pytest.fixture
def new_person(
    tmp_path: Path, place: Place, environment: dict[str, str]
) -> Iterator[Callable[[str], Person]]:
    """Somebody with a home of their own; whatever they left running ends with the test."""
    people: list[Person] = []

    def make(name: str = "ada") -> Person:
        person = Person(tmp_path / name, {**environment, **place.env})
        place.lets_in(person)
        people.append(person)
        return person

    yield make
    for person in people:
        person.kills_driver()


@pytest.fixture
def person(new_person: Callable[[str], Person]) -> Person:
    return new_person("ada")


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store") / "moto.log")
    yield store
    store.close()


@pytest.fixture
def store(shared_store: Store, person: Person) -> Store:
    """The store, for which the person has keys in their terminal."""
    person.env.update(shared_store.env)
    return shared_store


@pytest.fixture
def training_tower(tmp_path: Path, environment: dict[str, str]) -> Iterator[Workstation]:
    """A workstation without a GPU, whose packages come from where this computer's come."""
    workstation = Workstation(tmp_path / "tower")
    uv = {name: value for name, value in environment.items() if name.startswith("UV_")}
    settings = read_host().environment | uv | {"UV_CACHE_DIR": str(kept_folder() / "uv")}
    words = [f'"{name}={value}"' for name, value in settings.items()]
    workstation.sshd.environment += " " + " ".join(words)
    workstation.sshd.start()
    yield workstation
    workstation.sshd.stop()


@pytest.fixture
def tower(tmp_path: Path) -> Iterator[Workstation]:
    """A workstation with one L4 that nobody uses, and with files of its owner."""
    workstation = Workstation(tmp_path / "tower", tmp_path / "tower-clock")
    workstation.has_gpus(0)
    workstation.sshd.start()
    (workstation.home / "thesis").write_text("precious")
    yield workstation
    workstation.sshd.stop()


@pytest.fixture
def owner(tmp_path: Path, environment: dict[str, str], tower: Workstation) -> Iterator[Person]:
    """Somebody with a workstation and without any cloud."""
    person = Person(tmp_path / "ada", environment)
    person.config.write_text(tower.config())
    yield person
    person.kills_driver()
