// The request that gives what is shown, for curl, Python and JavaScript.
import { address, mediaType, withQuery } from './server.js';

/**
 * @typedef {object} Request
 * @property {string} path
 * @property {Record<string, string | number>} parameters
 * @property {File[]} images one, or those to compare
 * @property {boolean} keyed whether it needs a key
 */

/** Quotes an argument of a shell. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @param {Request} r @returns {[string, string][]} by the name of the language */
export const snippets = (r) => [['curl', curl(r)], ['Python', python(r)], ['JavaScript', javascript(r)]];

/** @param {Request} r */
function curl({ path, parameters, images, keyed }) {
  const url = quoted(address(withQuery(path, parameters))), line = ' \\\n  ';
  const key = keyed ? `${line}-H "X-API-Key: $KEY"` : '';
  if (images.length > 1) return `curl${images.map((i) => `${line}-F ${quoted(`image=@"${i.name.replaceAll(/["\\]/g, '\\$&')}"`)}`).join('')}${key}${line}${url}`;
  return `curl --data-binary ${quoted('@' + images[0].name)}${line}-H ${quoted('Content-Type: ' + mediaType(images[0]))}${key}${line}${url}`;
}

/** @param {Request} r */
function python({ path, parameters, images, keyed }) {
  const url = JSON.stringify(address(path)), params = Object.keys(parameters).length ? `\n        params=${JSON.stringify(parameters)},` : '';
  const key = keyed ? '"X-API-Key": os.environ["KEY"]' : '', imports = keyed ? 'import os\n\nimport requests' : 'import requests';
  if (images.length > 1) {
    return `${imports}

names = ${JSON.stringify(images.map((i) => i.name))}
response = requests.post(
    ${url},
    files=[("image", open(name, "rb")) for name in names],${key && `\n    headers={${key}},`}
    timeout=30,
)
print(response.json()["similarity"])`;
  }
  return `${imports}

with open(${JSON.stringify(images[0].name)}, "rb") as image:
    response = requests.post(
        ${url},
        data=image,${params}
        headers={"Content-Type": "${mediaType(images[0])}"${key && ', ' + key}},
        timeout=30,
    )
answer = response.json()
if not response.ok:
    raise SystemExit(answer["error"])
print(answer["predictions"][0])`;
}

/** @param {Request} r */
function javascript({ path, parameters, images, keyed }) {
  const url = JSON.stringify(address(withQuery(path, parameters))), key = keyed ? '"X-API-Key": process.env.KEY' : '';
  if (images.length > 1) {
    return `import { openAsBlob } from "node:fs";

const body = new FormData();
for (const name of ${JSON.stringify(images.map((i) => i.name))}) {
  body.append("image", await openAsBlob(name), name);
}
const response = await fetch(${url}, {
  method: "POST",${key && `\n  headers: { ${key} },`}
  body,
});
console.log((await response.json()).similarity);`;
  }
  return `import { readFile } from "node:fs/promises";

const response = await fetch(${url}, {
  method: "POST",
  headers: { "Content-Type": "${mediaType(images[0])}"${key && ', ' + key} },
  body: await readFile(${JSON.stringify(images[0].name)}),
});
const answer = await response.json();
if (!response.ok) throw new Error(answer.error);
console.log(answer.predictions[0]);`;
}
