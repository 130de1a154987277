"""Hooks of mkdocs: what docs/ links to in the rest of the repository becomes a part of the site, below repository/.

Markdown is rendered, source files are shown as code, folders are lists of their files, and images are copied. Links are rewritten to these
pages, so that mkdocs checks them and their anchors as it checks all others.
"""
import os
import posixpath
import re
import subprocess

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREFIX = "repository/"
FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.M | re.S)
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
PAGES = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"]  # of the navigation
IMAGE = re.compile(r"\.(png|jpe?g|svg|webp)$")
# What a page must not load from other hosts: scripts, styles, fonts, images and frames. Links to other sites are no loads.
LOADED = re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
                    r"|<link\b(?![^>]*\brel=[\"']?(?:canonical|alternate|next|prev)\b)[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>", re.I)
IMPORTED = re.compile(r"(?:url\(|@import )\s*[\"']?(?:https?:)?//[^)\s]+", re.I)


def is_page(path):
    """Whether mkdocs has a path of the repository already: the files of docs/, but no folders."""
    return path.startswith("docs/") and not os.path.isdir(os.path.join(ROOT, path))


def site_path(path):
    """The path in the site of a file or folder of the repository."""
    if is_page(path):
        return path[len("docs/"):]
    name = re.sub(r"(^|/)\.", r"\1dot-", path)  # mkdocs leaves out names that begin with a dot
    if os.path.isdir(os.path.join(ROOT, path)):
        return f"{PREFIX}{name}/index.md"
    return PREFIX + name + ("" if path.endswith(".md") or IMAGE.search(path) else ".md")


def outside_fences(text, change):
    """Applies a function to the parts of Markdown that are not blocks of code."""
    kept, end = [], 0
    for match in FENCE.finditer(text):
        kept += [change(text[end:match.start()]), match.group()]
        end = match.end()
    return "".join(kept + [change(text[end:])])


def is_local(target):
    return not re.match(r"[a-z]+:|/|<", target)


def resolve(page, target):
    """The path in the repository that a link of a page leads to. The page of a folder lies in it."""
    folder = page if os.path.isdir(os.path.join(ROOT, page)) else posixpath.dirname(page)
    return posixpath.normpath(posixpath.join(folder, target))


def targets(page, text):
    """The paths in the repository that a page links to, but those in docs/."""
    found = []
    outside_fences(text, lambda part: found.extend(m.group(2) for m in LINK.finditer(part)) or part)
    paths = (resolve(page, t) for t in found if is_local(t))
    return [path for path in paths if not is_page(path) and not path.startswith("../") and os.path.exists(os.path.join(ROOT, path))]


def rewritten(page, text):
    """The text of a page with links as they are in the site."""
    start = posixpath.dirname(site_path(page))

    def link(m):
        path = resolve(page, m.group(2)) if is_local(m.group(2)) else ""
        if not path or not os.path.exists(os.path.join(ROOT, path)):
            return m.group()  # mkdocs reports what does not exist
        return m.group(1) + posixpath.relpath(site_path(path), start or ".") + m.group(3)

    return outside_fences(text, lambda part: LINK.sub(link, part))


def shown(path):
    """The Markdown of a page for a file or folder of the repository."""
    full = os.path.join(ROOT, path)
    if path.endswith(".md"):
        with open(full, encoding="utf-8") as file:
            return file.read()
    head = f"---\ntitle: {path}\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n"
    if os.path.isdir(full):
        tracked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", path]
        names = subprocess.run(tracked, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
        return head + "".join(f"- [{n}]({posixpath.relpath(n, path)})\n" for n in sorted(names))
    with open(full, encoding="utf-8") as file:
        text = file.read()
    language = "text" if "." not in path else posixpath.splitext(path)[1][1:]
    if text.startswith("#!"):
        language = "python" if "python" in text.split("\n", 1)[0] else "bash"
    fence = "`" * 3
    while fence in text:
        fence += "`"
    return f"{head}{fence}{language}\n{text}\n{fence}\n"


def on_files(files, config):
    todo = ["docs/" + f.src_uri for f in files.documentation_pages()]
    seen = set(todo)
    todo += PAGES
    while todo:
        path = todo.pop()
        if path not in seen and not is_page(path):
            uri = site_path(path)
            if IMAGE.search(path):
                files.append(File.generated(config, uri, abs_src_path=os.path.join(ROOT, path)))
                seen.add(path)
                continue
            files.append(File.generated(config, uri, content=rewritten(path, shown(path))))
        seen.add(path)
        # Files that are shown as code have no links; a folder has those to its files.
        if path.endswith(".md") or os.path.isdir(os.path.join(ROOT, path)):
            todo += [target for target in targets(path, shown(path)) if target not in seen]
    return files


def on_page_markdown(markdown, page, **_):
    if page.file.src_uri.startswith(PREFIX):
        return markdown  # done by on_files
    return rewritten("docs/" + page.file.src_uri, markdown)


def on_post_build(config):
    """Refuses a site that loads anything from another host."""
    problems = []
    for folder, _, names in os.walk(config.site_dir):
        for name in names:
            pattern = {".html": LOADED, ".css": IMPORTED}.get(os.path.splitext(name)[1])
            if pattern is None:
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                problems += [f"{name}: {m.group()[:120]}" for m in pattern.finditer(file.read())]
    if problems:
        raise PluginError("loaded from other hosts:\n" + "\n".join(problems))
