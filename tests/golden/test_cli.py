# SPDX-License-Identifier: BSD-2-Clause
"""What all command lines do alike: interrupts, pipes, encodings, and what they import."""

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """\
import sys
from golden.cli import carry_out, enter, program
from golden.errors import InputError, RunError

def run(arguments):
    {body}
    return 0

def main(arguments):
    parser = program("test", description="A test.", epilog="examples:")
    parser.set_defaults(run=run)
    return carry_out(parser, arguments)

enter(main)
"""


def start(body, *arguments, **settings):
    environment = {**os.environ, **settings.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body), *arguments],
        stdout=settings.pop("stdout", subprocess.PIPE),
        stderr=settings.pop("stderr", subprocess.PIPE),
        env=environment,
        **settings,
    )


def result(body, *arguments, **settings):
    process = start(body, *arguments, **settings)
    output, error = process.communicate()
    return process.returncode, (output or b"").decode("latin-1"), (error or b"").decode("latin-1")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("print('done')", 0, ""),
        ("raise RunError('the tool: failed')", 1, "error: the tool: failed\n"),
        ("raise InputError('no.toml: lanes')", 2, "error: no.toml: lanes\n"),
        ("open('none/here')", 2, "error: none/here: No such file or directory\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        # Another process's pipe is not ours.
        ("raise BrokenPipeError(32, 'Broken pipe')", 2, "error: the output: Broken pipe\n"),
    ],
)
def test_status(body, status, error):
    got, _, said = result(body)
    assert (got, said) == (status, error)


def test_bad_arguments():
    status, _, error = result("pass", "--what")
    assert status == 2
    assert "unrecognized arguments: --what" in error


def test_help_says_what_the_status_means():
    status, output, _ = result("pass", "--help")
    assert status == 0
    assert "python -m test" in output
    assert "exit status: 0 done" in output


@pytest.mark.parametrize("body", ["print('x' * 1_000_000)", "print('short')"])
@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_nobody_reads(body, arguments):
    read, write = os.pipe()
    os.close(read)
    status, _, error = result(body, *arguments, stdout=write, env={"PYTHONUNBUFFERED": ""})
    assert (status, error) == (141, "")
    os.close(write)


def test_nobody_reads_errors():
    read, write = os.pipe()
    os.close(read)
    assert result("raise InputError('x')", stdout=write, stderr=write)[0] == 141
    os.close(write)


def test_head_ends_in_the_midst():
    body = "[print(k, flush=True) for k in range(1_000_000)]"
    process = start(body)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_full_output():
    with open("/dev/full", "wb") as full:
        status, _, error = result("print('x')", stdout=full)
    assert (status, error) == (2, "error: the output: No space left on device\n")


def test_closed_output():
    script = 'exec "$0" -m hw estimate digits >&-'
    done = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_encodings(encoding):
    text = "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{RIGHTWARDS ARROW}\N{SNOWMAN}\\udcff"
    body = f"print({text!r}); raise InputError({text!r})"
    status, output, error = result(body, env={"PYTHONIOENCODING": encoding})
    assert status == 2
    assert output.startswith("Gr")
    assert error.startswith("error: Gr")


def test_interrupt_while_a_library_is_imported(tmp_path):
    (tmp_path / "slow.py").write_text("import time\nprint('now', flush=True)\ntime.sleep(60)\n")
    script = f"import sys\nsys.path.append({str(tmp_path)!r})\nimport golden.cli\nimport slow\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"now\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b"interrupted\n"
    assert process.returncode == 130


@pytest.mark.parametrize("cause", ["KeyboardInterrupt", "ValueError"])
def test_extension_that_fails_as_it_is_imported(cause):
    body = f"raise ImportError('numpy') from {cause}()"
    status, _, error = result(body)
    if cause == "KeyboardInterrupt":
        assert (status, error) == (130, "interrupted\n")
    else:
        assert status == 1
        assert "Traceback" in error


@pytest.mark.parametrize("package", ["golden", "hw", "sim", "boards"])
def test_interrupts_at_any_time(package):
    """Interrupt each program while it starts: it ends in a line, or is not ready to say so."""
    for delay in (0.3, 1.0):
        process = subprocess.Popen(
            [sys.executable, "-c", f"import golden.cli, runpy, sys; sys.argv = ['x', '--help'];"
             f"print('now', flush=True); runpy.run_module({package!r}, run_name='__main__')"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout.readline() == b"now\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
        assert (process.returncode, error) in [(130, b"interrupted\n"), (0, b""), (-2, b"")]


def test_hardware_needs_no_models():
    script = (
        "import sys, hw.__main__ as cli\n"
        "assert cli.main(['estimate', 'digits']) == 0\n"
        "print([m for m in ('torch', 'matplotlib', 'sklearn', 'cocotb') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"
