"""The cloud behind every wire: stock, accounts, machines, the meter, faults and time."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from infra.simcloud import mishaps, wires
from infra.simcloud.accounts import Accounts
from infra.simcloud.faults import Fault, FaultScript
from infra.simcloud.machines import Backend, Boot
from infra.simcloud.orders import Call, NotNow, Order, SoldOut
from infra.simcloud.rented import EndedBy, Phase, Rented
from infra.simcloud.stock import Stock
from infra.simcloud.timing import Now

RESTART_S = 17.0  # a container whose command returned comes back about so much later


class World:
    """Everything that would exist without an API. Safe for many threads."""

    def __init__(
        self,
        backend: Backend,
        clock: Now,
        *,
        seed: int = 0,
        speed: float = 1.0,
        boot_s: float = 2.0,
        logger: logging.Logger | None = None,
    ) -> None:
        self.backend = backend
        self.clock = clock
        self.random = random.Random(seed)
        self.faults = FaultScript()
        self.stock: list[Stock] = []  # of every provider
        self.lock = threading.RLock()
        self.calls: deque[Call] = deque(maxlen=100_000)
        self.machines: dict[str, Rented] = {}
        self.accounts = Accounts(self.machines, clock)
        self.services: dict[str, int] = {}  # name: port of a server that machines may reach
        self._speed = speed
        self._boot_s = boot_s
        self._logger = logger or logging.getLogger("simcloud")

    def stock_of(self, provider: str) -> list[Stock]:
        """What one provider has."""
        return [stock for stock in self.stock if stock.provider == provider]

    def word(self, length: int) -> str:
        """A random word of small letters and digits."""
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"
        return "".join(self.random.choices(letters, k=length))

    def delay_s(self, seconds: float) -> float:
        """A delay of the cloud's, as `--speed` shortens it."""
        return seconds / self._speed

    def record(self, provider: str, method: str, path: str, status: int | None) -> None:
        """Keep one call."""
        self.calls.append(Call(provider, method, path, status, self.clock.now_s()))
        self._logger.info("%s %s %s: %s", provider, method, path, status or "cut")

    def rent(self, order: Order, to_boot: Callable[[Rented], Boot]) -> Rented:
        """Place a machine; it boots by itself. Raises: SoldOut."""
        with self.lock:
            if order.gpu_count > min(order.stock.free, order.stock.largest):
                raise SoldOut
            now_s = self.clock.now_s()
            machine = self._make(order, now_s)
            faults = self._draw_faults(order)
            mishaps.spoil_order(machine, faults)
            machine.usd_per_hour += order.disk_usd_per_hour
            order.stock.free -= order.gpu_count
            wires.connect(machine, self._reachable())
            machine.boot = replace(to_boot(machine), gpu_dead="gpu_dead" in faults)
            self._schedule_boot(machine, now_s)
            mishaps.spoil_boot(machine, faults, self.delay_s)
            self.machines[machine.id] = machine
            self._tell(machine, f"rented at ${machine.usd_per_hour}/h as {machine.label!r}")
            return machine

    def settle(self) -> None:
        """Let happen what is due by the clock."""
        with self.lock:
            for machine in self.machines.values():
                if machine.alive:
                    self._settle(machine, self.clock.now_s())
            for provider, name in self.accounts.keys:
                self._settle_account(provider, name)

    def of(self, provider: str, account: str) -> list[Rented]:
        """Machines of one account, newest first, also ended ones."""
        with self.lock:
            mine = [
                machine
                for machine in self.machines.values()
                if (machine.provider, machine.account) == (provider, account)
            ]
        # Python keeps the order of renting, which the time alone may not tell.
        return mine[::-1]

    def listed(self, provider: str, account: str) -> list[Rented]:
        """What a list shows, newest first; it may lag."""
        fault = self.faults.standing(provider, "list_lag_s")
        lag_s = self.delay_s(fault.seconds(10.0)) if fault else 0.0
        now_s = self.clock.now_s()

        def shows(machine: Rented) -> bool:
            if machine.created_s + lag_s > now_s:
                return False
            return machine.ended_s is None or machine.ended_s + lag_s > now_s

        return [machine for machine in self.of(provider, account) if shows(machine)]

    def find(self, provider: str, account: str, machine_id: str) -> Rented | None:
        """A machine that exists and is this account's."""
        machine = self.machines.get(machine_id)
        if machine is None or not machine.alive:
            return None
        return machine if (machine.provider, machine.account) == (provider, account) else None

    def end(self, machine: Rented, by: EndedBy) -> None:
        """Kill every process, wipe the disk, stop the meter; does nothing when it is over."""
        with self.lock:
            if not machine.alive:
                return
            machine.shown_phase = machine.phase
            self._power_off(machine, Phase.ENDED)
            machine.ended_s = self.clock.now_s()
            machine.ended_by = by
            machine.meter(machine.ended_s, Decimal(0), Decimal(0))
            self.backend.wipe(machine.id)
            wires.close(machine, for_good=True)
            bill_usd = machine.bill_usd(machine.ended_s)
            self._tell(machine, f"ended by {by}, billed ${bill_usd}")

    def lose(self, machine: Rented) -> None:
        """Its host is gone, and with it the machine; some providers still show the record."""
        if not machine.stays_when_lost:
            self.end(machine, EndedBy.PROVIDER)
            return
        with self.lock:
            self._power_off(machine, Phase.LOST)
            machine.meter(self.clock.now_s(), Decimal(0), Decimal(0))
            self.backend.wipe(machine.id)
            self._tell(machine, "its host is lost")

    def stop(self, machine: Rented, why: str = "Exited by user") -> None:
        """End the processes and wipe what is not on a volume; its disk may go on billing."""
        with self.lock:
            if machine.phase in (Phase.STOPPED, Phase.LOST, Phase.ENDED):
                raise NotNow
            self._power_off(machine, Phase.STOPPED)
            self._wipe(machine)
            stopped = machine.stopped_usd_per_hour
            machine.meter(self.clock.now_s(), stopped, stopped)
            machine.last_change, machine.changed_s = why, self.clock.now_s()
            self._tell(machine, "stopped")

    def start(self, machine: Rented) -> None:
        """Boot a stopped machine again, with another address. Raises: NotNow, SoldOut."""
        with self.lock:
            if machine.phase not in (Phase.STOPPED, Phase.FAILED):
                raise NotNow
            if machine.stock.free < machine.gpu_count:
                raise SoldOut
            self._boot_again(machine, self._draw_start_faults(machine))
            self._tell(machine, "started again")

    def start_anew(self, machine: Rented) -> None:
        """Its host starts it once more: other port and host key, no files; it bills all the time.

        Raises: NotNow.
        """
        with self.lock:
            if machine.phase is not Phase.RUNNING:
                raise NotNow
            self._power_off(machine, Phase.STOPPED)
            self._wipe(machine)
            self._boot_again(machine, self._draw_start_faults(machine))
            self._tell(machine, "started anew by its host")

    def restart(self, machine: Rented) -> None:
        """End the processes and start them again. Raises: NotNow."""
        with self.lock:
            if machine.phase is not Phase.RUNNING or machine.process is None:
                raise NotNow
            machine.process.kill()
            self._start_process(machine)

    def cut_network(self, machine: Rented) -> None:
        """Nobody reaches it, and it reaches nobody here."""
        with self.lock:
            machine.is_cut = True
            wires.cut(machine)
            self._tell(machine, "network cut")

    def restore_network(self, machine: Rented) -> None:
        """The end of `cut_network`."""
        with self.lock:
            machine.is_cut = False
            for link in machine.links.values():
                link.open()
            self._settle(machine, self.clock.now_s())
            self._tell(machine, "network restored")

    def break_gpu(self, machine: Rented) -> None:
        """Its GPU falls off the bus."""
        with self.lock:
            if machine.process is not None:
                machine.process.break_gpu()

    def fill_disk(self, machine: Rented) -> None:
        """Nothing more fits on its disk. Raises: NotPossible."""
        with self.lock:
            if machine.process is not None:
                machine.process.fill_disk()

    def close(self) -> None:
        """Kill every process without ending a machine's record."""
        with self.lock:
            for machine in self.machines.values():
                if machine.process is not None:
                    machine.process.kill()
                wires.close(machine, for_good=True)
                self.backend.wipe(machine.id)
        self.backend.close()

    def _make(self, order: Order, now_s: float) -> Rented:
        usd_per_gpu_hour = order.stock.usd_per_gpu_hour * order.gpu_count
        gpu_usd_per_hour = order.gpu_usd_per_hour
        return Rented(
            id=order.machine_id or self.word(14),
            provider=order.provider,
            account=order.account,
            label=order.label,
            stock=order.stock,
            gpu_count=order.gpu_count,
            usd_per_hour=usd_per_gpu_hour if gpu_usd_per_hour is None else gpu_usd_per_hour,
            disk_usd_per_hour=order.disk_usd_per_hour,
            stopped_usd_per_hour=order.stopped_usd_per_hour,
            usd_per_gb_in=order.usd_per_gb_in,
            usd_per_gb_out=order.usd_per_gb_out,
            boots_free=order.boots_free,
            keeps_disk=order.keeps_disk,
            stays_when_lost=order.stays_when_lost,
            starting_share=order.starting_share,
            ssh_share=order.ssh_share,
            boot_factor=order.boot_factor,
            billing_increment_s=order.billing_increment_s,
            is_container=order.is_container,
            own_address=order.address,
            created_s=now_s,
            changed_s=now_s,
            data_center=order.data_center,
            backend=self.backend.kind,
            has_address=order.has_ssh,
            has_proxy=order.has_proxy,
        )

    def _boot_again(self, machine: Rented, faults: Mapping[str, Fault]) -> None:
        assert machine.to_boot is not None
        now_s = self.clock.now_s()
        machine.stock.free -= machine.gpu_count
        old_port = machine.ssh_port
        wires.connect(machine, self._reachable())
        mishaps.forget_moments(machine)
        mishaps.spoil_start(machine, faults, old_port, now_s, self.delay_s)
        machine.boot = machine.to_boot()
        self._schedule_boot(machine, now_s)

    def _wipe(self, machine: Rented) -> None:
        if machine.keeps_disk:
            return
        self.backend.wipe(machine.id, keep_volume=machine.stopped_usd_per_hour > 0)
        machine.disks += 1

    def _reachable(self) -> dict[str, int]:
        return {} if self.backend.kind == "memory" else self.services

    def _draw_faults(self, order: Order) -> dict[str, Fault]:
        """What goes wrong with the machine that is being rented."""
        facts = {
            "gpu": order.stock.card.id,
            "cloud": order.stock.tier,
            "label": order.label,
            "data_center": order.data_center or "",
        }
        drawn = self.faults.take_each(order.provider, "machine", facts)
        return {fault.name: fault for fault in drawn}

    def _draw_start_faults(self, machine: Rented) -> dict[str, Fault]:
        """What goes wrong with a machine that starts once more."""
        drawn = self.faults.take_each(machine.provider, "start", {"id": machine.id})
        return {fault.name: fault for fault in drawn}

    def _schedule_boot(self, machine: Rented, now_s: float) -> None:
        machine.phase = Phase.PLACED
        boot_s = self.delay_s(self._boot_s * machine.boot_factor)
        machine.starting_at_s = now_s + boot_s * machine.starting_share
        machine.due_s = machine.running_at_s = now_s + boot_s
        machine.ssh_open_at_s = machine.running_at_s + boot_s * machine.ssh_share
        disk_usd = machine.disk_usd_per_hour
        machine.meter(now_s, disk_usd if machine.boots_free else machine.usd_per_hour, disk_usd)
        machine.log.write(now_s, "system", "create container: pulling image")

    def _settle(self, machine: Rented, now_s: float) -> None:
        mishaps.tell_pull_error(machine, now_s, self.delay_s)
        if machine.phase is Phase.PLACED and now_s >= machine.starting_at_s:
            machine.phase = Phase.STARTING
            machine.log.write(now_s, "system", "start container")
        if machine.phase is Phase.STARTING and now_s >= machine.running_at_s:
            machine.started_s = machine.running_at_s
            machine.meter(now_s, machine.usd_per_hour, machine.disk_usd_per_hour)
            self._start_process(machine)
        if machine.phase not in (Phase.PLACED, Phase.STARTING, Phase.RUNNING):
            return
        if now_s >= machine.fails_at_s:
            self._power_off(machine, Phase.FAILED)
            machine.log.write(now_s, "system", "error: container cannot be started")
            self._tell(machine, "failed")
        elif now_s >= machine.vanishes_at_s:
            self.lose(machine)
        elif now_s >= machine.stops_at_s:
            self.stop(machine, machine.stop_reason or "Exited by Runpod")
        elif machine.phase is Phase.RUNNING and now_s >= machine.moves_at_s:
            self.start_anew(machine)
        elif machine.phase is Phase.RUNNING:
            self._keep_running(machine, now_s)

    def _keep_running(self, machine: Rented, now_s: float) -> None:
        assert machine.process is not None
        code = machine.process.exit_code()
        if code is None and now_s >= machine.life_began_s + machine.returns_after_s:
            machine.process.kill()
            wires.shut_doors(machine)
            code = 0
        if code is not None and not machine.is_container:
            wires.shut_doors(machine)
            mishaps.fall_silent(machine, now_s, self.delay_s)
            return
        if code is not None and machine.restart_at_s == math.inf:
            machine.restart_at_s = now_s + self.delay_s(RESTART_S)
            machine.log.write(now_s, "system", f"container exited with code {code}; restarting")
            self._tell(machine, f"its command returned {code}: it restarts, and bills")
        elif code is not None and now_s >= machine.restart_at_s:
            self._start_process(machine)
        is_due = now_s >= machine.ssh_open_at_s and not machine.is_cut
        if is_due:
            wires.open_doors(machine)

    def _start_process(self, machine: Rented) -> None:
        assert machine.boot is not None
        machine.phase = Phase.RUNNING
        machine.restart_at_s = math.inf
        machine.life += 1
        machine.life_began_s = self.clock.now_s()

        def on_line(text: str) -> None:
            machine.log.write(self.clock.now_s(), "container", text)

        machine.process = self.backend.start(machine.boot, on_line)
        wires.aim(machine, machine.process.sshd)

    def _settle_account(self, provider: str, name: str) -> None:
        left_usd = self.accounts.balance_usd(provider, name)
        if left_usd > 0:
            return
        grace_usd = self.accounts[provider, name].grace_usd
        for machine in self.of(provider, name):
            if grace_usd is None or left_usd < -grace_usd:
                self.end(machine, EndedBy.PROVIDER)
            elif machine.phase in (Phase.PLACED, Phase.STARTING, Phase.RUNNING):
                self.stop(machine, "No credit")

    def _power_off(self, machine: Rented, phase: Phase) -> None:
        if machine.phase not in (Phase.STOPPED, Phase.FAILED, Phase.LOST):
            machine.stock.free += machine.gpu_count
        machine.phase = phase
        wires.close(machine, for_good=False)
        if machine.process is not None:
            machine.process.kill()
            machine.process = None

    def _tell(self, machine: Rented, what: str) -> None:
        self._logger.info("machine %s: %s", machine.id, what)
