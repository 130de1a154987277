"""Tests scripts/docs_hook.py."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import docs_hook  # noqa: E402


class Paths(unittest.TestCase):
    def test_paths(self):
        for path, uri in {
            "docs/models.md": "models.md",
            "docs/reference/serve.md": "reference/serve.md",
            "README.md": "repository/README.md",
            "fleet/config.go": "repository/fleet/config.go.md",
            ".ci/run": "repository/dot-ci/run.md",
            "docs/reference": "repository/docs/reference/index.md",
            "Makefile": "repository/Makefile.md",
            "deploy/grafana": "repository/deploy/grafana/index.md",
            "testdata/images/coffee.jpg": "repository/testdata/images/coffee.jpg",
        }.items():
            self.assertEqual(docs_hook.site_path(path), uri)


class Links(unittest.TestCase):
    def test_rewritten(self):
        for page, text, want in [
            ("docs/a.md", "[x](models.md#add)", "[x](models.md#add)"),
            ("docs/a.md", "[x](../fleet/config.go)", "[x](repository/fleet/config.go.md)"),
            ("docs/reference/a.md", "[x](../models.md)", "[x](../models.md)"),
            ("docs/reference/a.md", "[x](../../SECURITY.md)", "[x](../repository/SECURITY.md)"),
            ("README.md", "[x](docs/models.md#add) [y](LICENSE)", "[x](../models.md#add) [y](LICENSE.md)"),
            ("deploy/README.md", "[x](../docs/supervise.md)", "[x](../../supervise.md)"),
            ("deploy/grafana", "[x](dashboards/fovea.json)", "[x](dashboards/fovea.json.md)"),
            ("docs/a.md", "![x](../testdata/images/coffee.jpg)", "![x](repository/testdata/images/coffee.jpg)"),
            ("docs/a.md", "[x](https://example.org/a.md) [y](#z)", "[x](https://example.org/a.md) [y](#z)"),
            ("docs/a.md", "[x](../no/such/file.go)", "[x](../no/such/file.go)"),
            ("docs/a.md", "```\n[x](../SECURITY.md)\n```\n", "```\n[x](../SECURITY.md)\n```\n"),
        ]:
            self.assertEqual(docs_hook.rewritten(page, text), want, text)

    def test_targets(self):
        text = "[a](../SECURITY.md#x) [b](models.md) [c](https://example.org) [d](../no/such) [e](../../above)\n```\n[f](../LICENSE)\n```\n"
        self.assertEqual(docs_hook.targets("docs/a.md", text), ["SECURITY.md"])


class Loads(unittest.TestCase):
    def test_loads(self):
        for html, loads in {
            '<script src="assets/a.js"></script>': 0,
            '<script src="https://cdn.example/a.js"></script>': 1,
            "<script async src=//cdn.example/a.js></script>": 1,
            '<link rel="stylesheet" href="https://fonts.example/css">': 1,
            '<link rel="preconnect" href="https://fonts.example" crossorigin>': 1,
            '<link rel="canonical" href="https://example.org/">': 0,
            '<link rel="icon" href="assets/favicon.png">': 0,
            '<img alt="x" src="https://example.org/a.png">': 1,
            '<a href="https://example.org">x</a>': 0,
        }.items():
            self.assertEqual(len(docs_hook.LOADED.findall(html)), loads, html)
        self.assertEqual(len(docs_hook.IMPORTED.findall("a{b:url(c.woff)} @import 'https://x.example/y'; d{e:url(//x.example/z)}")), 2)


if __name__ == "__main__":
    unittest.main()
