"""``edgeship profile``: what each device can do, and where that is known from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from device_profiles.profile import DeviceProfile


@click.group()
def profile() -> None:
    """Show what each device can do, and check a profile of your own."""


@profile.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def profile_ls(*, as_json: bool) -> None:
    """List the catalog."""
    from contracts.codec import to_plain
    from device_profiles.loader import all_profiles

    profiles = all_profiles()
    if as_json:
        click.echo(json.dumps(to_plain(profiles), indent=2, ensure_ascii=False))
        return
    click.echo(f"{'profile':<22}{'processor':<13}{'memory':<10}formats")
    for one in profiles:
        formats = " ".join(one.formats) + (", int8 only" if one.full_int8 else "")
        click.echo(f"{one.name:<22}{one.cores} x {_hertz(one.clock_hz):<9}{_bytes(one.memory_bytes):<10}{formats}")


@profile.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def profile_show(name: str, *, as_json: bool) -> None:
    """Show one profile with the source of each fact."""
    from contracts.codec import to_plain
    from device_profiles.loader import load_profile

    found = load_profile(name)
    click.echo(json.dumps(to_plain(found), indent=2, ensure_ascii=False) if as_json else _page(found))


@profile.command("check")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def profile_check(file: Path) -> None:
    """Check a profile file of your own."""
    from device_profiles.loader import read_profile_file

    found = read_profile_file(file)
    click.echo(f"✓ {found.name}: {found.title}")


def _page(one: DeviceProfile) -> str:
    facts = (
        ("device class", one.device_class),
        ("architecture", one.architecture),
        ("processor", f"{one.cores} x {one.cpu}, {_hertz(one.clock_hz)}"),
        ("memory", f"{_bytes(one.memory_bytes)}, a model may take {_bytes(one.model_memory_bytes)}"),
        ("storage", _bytes(one.storage_bytes) if one.storage_bytes is not None else "not fixed"),
        ("formats", ", ".join(one.formats) + (" (preferred first)" if len(one.formats) > 1 else "")),
        ("quantization", "only fully quantized models (int8)" if one.full_int8 else "any"),
        ("half precision", "computed" if one.computes_fp16 else "not computed"),
    )
    lines = [one.title, "", *(f"  {word:<16}{fact}" for word, fact in facts), "", "  Sources"]
    lines += [f"  {', '.join(source.fields)}\n      {source.document}" for source in one.sources]
    return "\n".join(lines)


def _hertz(value: int) -> str:
    return f"{value / 1e9:.2f} GHz" if value >= 1_000_000_000 else f"{value / 1e6:.0f} MHz"


def _bytes(value: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 2**10:.0f} KiB"
