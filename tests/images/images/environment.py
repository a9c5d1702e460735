"""How this machine reaches its package index, handed to a build as secrets: mounted while pip runs, in no layer."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# What makes sense inside a build; a folder of wheels, say, is not there.
PASSED_ON = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries", "default-timeout")
AUTHORITIES = "/run/secrets/ca.crt"  # where the Dockerfiles mount them


def secrets(folder: Path) -> list[str]:
    """The options of a build that mount pip's settings and this machine's authorities; `folder`: for a file of them."""
    settings = pip_settings(_pip_config_list())
    options = []
    authorities = settings.get("cert") or os.environ.get("SSL_CERT_FILE")
    if authorities is not None and Path(authorities).is_file():
        options.append(f"--secret=id=ca.crt,src={authorities}")
    (folder / "pip.conf").write_text(pip_conf(settings, with_authorities=bool(options)))
    return [*options, f"--secret=id=pip.conf,src={folder / 'pip.conf'}"]


def pip_settings(listed: str) -> Mapping[str, str]:
    """What holds for `pip install`, of what `pip config list` says: its own section, then the environment, win."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        name, separator, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if separator and section in found:
            found[section][key] = str(ast.literal_eval(value))
    return {**found["global"], **found["install"], **found[":env:"]}


def pip_conf(settings: Mapping[str, str], *, with_authorities: bool) -> str:
    """A configuration file for the pip inside a build."""
    lines = [f"{key} = {' '.join(settings[key].split())}" for key in PASSED_ON if key in settings]
    if with_authorities:
        lines.append(f"cert = {AUTHORITIES}")
    return "\n".join(["[global]", "disable-pip-version-check = true", *lines, ""])


def _pip_config_list() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout
