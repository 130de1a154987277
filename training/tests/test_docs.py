"""Runs the commands of docs/training.md."""

import os
import re
import shutil
import subprocess

from conftest import ROOT


def test_the_commands_without_docker(tmp_path):
    text = (ROOT / "docs" / "training.md").read_text()
    (commands,) = re.findall(r"^```sh\n(.*?)^```", text[text.index("## Without Docker"):text.index("## Settings")], re.M | re.S)
    assert "verify" in commands
    # In a copy of the checkout, whose models and programs are not touched.
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(tracked, cwd=ROOT, check=True, capture_output=True)
    for name in names.stdout.decode().rstrip("\0").split("\0"):
        if os.path.isfile(ROOT / name):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    os.symlink(os.environ.get("FOVEA_TEST_SERVE", ROOT / "bin" / "serve"), tmp_path / "bin" / "serve")
    commands = commands.replace("make build\n", "")  # done, with the caches of this checkout
    done = subprocess.run(["bash", "-exc", commands], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=900, check=False, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert re.search(r"agreement +(1\.0000|0\.99)", done.stdout)
    assert "held_out/accuracy" in done.stdout and "exported models/clothes/1" in done.stdout
