"""A Prometheus that scrapes what runs on the bed, and is asked about it."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from bed.addresses import LOOPBACK, free_port
from bed.cluster import Cluster

EVERY = "1s"


class Prometheus:
    """One that is not started yet; `binaries`: the folder that `make controlplane` prints."""

    def __init__(self, binaries: Path, cluster: Cluster, folder: Path, configuration: dict[str, Any]) -> None:
        """`configuration`: of what, by which rules; how often is said here. `folder`: for its files."""
        here = f"{LOOPBACK}:{free_port()}"
        often = {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY}
        path = folder / "prometheus.yml"
        path.write_text(yaml.safe_dump({"global": often, **configuration}))
        command: list[str | Path] = [
            binaries / "prometheus",
            f"--config.file={path}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={here}",
        ]
        self.program = cluster.program("prometheus", *command, folder=folder)
        self._url = f"http://{here}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """All, with their health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> dict[str, dict[str, Any]]:
        """What is scraped, with how it went last, by job: each has one."""
        return {target["labels"]["job"]: target for target in self._get("targets")["activeTargets"]}

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from error
        except OSError as error:
            raise AssertionError(f"Prometheus does not answer: {error}") from error
