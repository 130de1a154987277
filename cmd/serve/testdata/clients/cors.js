// Runs an example that is a script for web pages in Node.js, which has no origins: fetch follows CORS as the Fetch standard
// (https://fetch.spec.whatwg.org, "CORS-preflight fetch" and "CORS check") has it, for pages of process.env.ORIGIN.
//
//   node cors.js EXAMPLE IMAGE
const fs = require("fs");
const vm = require("vm");

const origin = process.env.ORIGIN;
const list = (text) => (text ?? "").split(",").map((name) => name.trim().toLowerCase());

// checkOrigin is the CORS check of a response to a request without credentials.
function checkOrigin(response) {
  const allowed = response.headers.get("Access-Control-Allow-Origin");
  if (allowed !== "*" && allowed !== origin) throw new TypeError(`Failed to fetch: origin ${origin} is not allowed, but ${allowed}`);
}

async function preflight(request) {
  const unsafe = [...request.headers.keys()].filter((name) => name !== "accept" && name !== "accept-language").sort();
  const response = await fetch(request.url, {
    method: "OPTIONS",
    headers: { Origin: origin, "Access-Control-Request-Method": request.method, "Access-Control-Request-Headers": unsafe.join(",") },
  });
  checkOrigin(response);
  const allowed = list(response.headers.get("Access-Control-Allow-Headers"));
  const refused = unsafe.filter((name) => !allowed.includes(name));
  if (!response.ok || refused.length) throw new TypeError(`Failed to fetch: preflight ${response.status}, headers ${refused} are not allowed`);
}

async function corsFetch(url, options) {
  const request = new Request(url, { ...options, duplex: "half" });
  await preflight(request);
  request.headers.set("Origin", origin);
  const response = await fetch(request);
  checkOrigin(response);
  return response;
}

(async () => {
  const context = vm.createContext({ Blob, DataView, ArrayBuffer, AbortSignal, Headers, fetch: corsFetch });
  vm.runInContext(fs.readFileSync(process.argv[2], "utf8"), context);
  console.log(await context.classify(new Blob([fs.readFileSync(process.argv[3])], { type: "image/jpeg" })));
})().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
