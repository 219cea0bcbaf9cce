"""Offers as Vast's search shows them."""

from __future__ import annotations

from decimal import Decimal

from infra.simcloud.vast.hosts import Ask, Host
from infra.simcloud.web import Json


def offer_row(ask: Ask, storage_gb: Decimal, now_s: float, *, is_bid: bool) -> dict[str, Json]:
    """One offer, priced with as much disk; as a bid it costs the least that one must bid."""
    host, gpus = ask.host, ask.gpus
    gpu_usd = host.min_bid_usd(gpus) if is_bid else host.usd_per_hour(gpus)
    disk_usd = host.disk_usd_per_hour(storage_gb)
    total_usd = gpu_usd + disk_usd
    share = gpus / host.gpus
    return {
        "id": ask.id,
        "ask_contract_id": ask.id,
        "bundle_id": host.machine_id * 10 + gpus,
        "bundled_results": None,
        **machine_facts(host, gpus),
        "gpu_total_ram": host.kind.ram_mb * gpus,
        "gpu_display_active": False,
        "gpu_max_power": host.kind.watts,
        "gpu_max_temp": 87,
        "disk_space": round(host.disk_gb * share, 1),
        "dph_base": float(gpu_usd),
        "storage_total_cost": float(disk_usd),
        "dph_total": float(total_usd),
        "dph_total_adj": float(total_usd),
        "discounted_dph_total": float(total_usd),
        "discounted_hourly": 0.0,
        "discount_rate": 0.0,
        "credit_discount_max": 0.4,
        "min_bid": float(host.min_bid_usd(gpus)),
        "is_bid": is_bid,
        "dlperf_per_dphtotal": per(host.kind.dlperf * gpus, total_usd),
        "flops_per_dphtotal": per(host.kind.tflops * gpus, total_usd),
        "score": None if host.cpu_cores is None else per(host.kind.dlperf * gpus, total_usd),
        "duration": host.end_s - now_s,
        "end_date": host.end_s,
        "start_date": now_s - 86_400.0,
        "rentable": True,
        "rented": False,
        "resource_type": "gpu" if gpus else "cpu",
        "cluster_id": None,
        "search": prices(gpu_usd, disk_usd),
        "instance": prices(Decimal(0), Decimal(0)),
        "avail_vol_ask_id": None,
        "avail_vol_dph": None,
        "avail_vol_size": None,
        "time_remaining": "",
        "time_remaining_isbid": "",
        "internet_up_cost_per_tb": float(host.usd_per_gb_out * 1000),
        "internet_down_cost_per_tb": float(host.usd_per_gb_in * 1000),
        "rn": 1,
    }


def machine_facts(host: Host, gpus: int) -> dict[str, Json]:
    """What offers and instances say alike."""
    kind, share = host.kind, gpus / host.gpus
    compute_cap = round(float(kind.card.compute_capability) * 100)
    return {
        "machine_id": host.machine_id,
        "host_id": host.host_id,
        "hosting_type": int(host.is_datacenter),
        "verification": host.verification,
        "vericode": int(host.verification == "verified"),
        "gpu_name": kind.card.name,
        "num_gpus": gpus,
        "gpu_arch": "nvidia",
        "gpu_ram": kind.ram_mb,
        "gpu_frac": share,
        "gpu_mem_bw": kind.memory_gb_per_s,
        "bw_nvlink": 0.0,
        "pcie_bw": 24.0,
        "pci_gen": 4.0,
        "gpu_lanes": 16,
        "compute_cap": compute_cap,
        "cuda_max_good": host.cuda,
        "driver_version": host.driver,
        "driver_vers": int("".join(f"{int(part):03d}" for part in host.driver.split("."))),
        "cpu_name": "AMD EPYC 7402P 24-Core Processor",
        "cpu_arch": "amd64",
        "cpu_ghz": 2.8,
        "has_avx": 1,
        "cpu_cores": host.cpu_cores,
        "cpu_cores_effective": (host.cpu_cores or 16) * share,
        "cpu_ram": host.cpu_ram_mb,
        "disk_bw": host.disk_mb_per_s,
        "disk_name": "NVMe",
        "inet_up": host.inet_up,
        "inet_down": host.inet_down,
        "inet_up_cost": float(host.usd_per_gb_out),
        "inet_down_cost": float(host.usd_per_gb_in),
        "storage_cost": float(host.storage_usd_per_gb_month),
        "reliability": host.reliability,
        "reliability2": host.reliability,
        "expected_reliability": host.reliability,
        "reliability_mult": 1.0,
        "static_ip": host.static_ip,
        "direct_port_count": host.direct_ports,
        "public_ipaddr": host.ip,
        "geolocation": host.place,
        "geolocode": 0,
        "dlperf": kind.dlperf * gpus,
        "total_flops": kind.tflops * gpus,
        "vms_enabled": False,
        "is_vm_deverified": False,
        "external": False,
        "os_version": "22.04",
        "mobo_name": "ROMED8-2T",
        "webpage": None,
        "logo": "/static/logos/vastai_small2.png",
    }


def prices(gpu_usd: Decimal, disk_usd: Decimal) -> Json:
    """The parts of a price, as Vast repeats them."""
    total = float(gpu_usd + disk_usd)
    return {
        "gpuCostPerHour": float(gpu_usd),
        "diskHour": float(disk_usd),
        "totalHour": total,
        "discountTotalHour": 0,
        "discountedTotalPerHour": total,
    }


def per(amount: float, usd: Decimal) -> float | None:
    """So much for a dollar an hour."""
    return round(amount / float(usd), 2) if usd else None
