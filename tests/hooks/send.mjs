// Sends every payload of @octokit/webhooks-examples to URL, signed by @octokit/webhooks-methods, the way GitHub does:
//   node send.mjs FOLDER-WITH-node_modules URL SECRET [form]
// and prints a line of JSON for each: its id, event, action and the answer.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, url, secret, kind] = process.argv.slice(2);
const octokit = (path) => join(folder, "node_modules/@octokit", path);
const { sign } = await import(pathToFileURL(octokit("webhooks-methods/dist-node/index.js")));
const events = JSON.parse(readFileSync(octokit("webhooks-examples/api.github.com/index.json"), "utf8"));

let number = 0;
for (const { name, examples } of events) {
  for (const example of examples) {
    const id = `72d3162e-cc78-11e3-81ab-${String(number++).padStart(12, "0")}`;
    const json = JSON.stringify(example);
    const body = kind === "form" ? new URLSearchParams({ payload: json }).toString() : json;
    const headers = {
      "content-type": kind === "form" ? "application/x-www-form-urlencoded" : "application/json",
      "user-agent": "GitHub-Hookshot/044aadd",
      "x-github-event": name,
      "x-github-delivery": id,
      "x-github-hook-id": "292430182",
      "x-github-hook-installation-target-id": "79929171",
      "x-github-hook-installation-target-type": "repository",
      "x-hub-signature-256": await sign(secret, body),
      accept: "*/*",
    };
    const answer = await fetch(url, { method: "POST", headers, body });
    const said = await answer.json();
    console.log(JSON.stringify({ id, event: name, action: example.action ?? null, status: answer.status, said }));
  }
}
