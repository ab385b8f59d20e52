// GitHub's own description of its API → the part of it that the tests ask: node description.mjs api.github.com.json OUT.json
// Only the paths below and what they refer to; GitHub's media types beside JSON; tokens of the examples do not end in the past; and two rules that GitHub has and
// its description has not.
import { readFileSync, writeFileSync } from "node:fs";

const REPOSITORY = "/repos/{owner}/{repo}";
const PATHS = [
  "/app/installations/{installation_id}/access_tokens",
  "/user",
  ...["/installation", "/check-runs", "/check-runs/{check_run_id}", "/commits/{ref}/check-runs", "/commits/{ref}/statuses", "/statuses/{sha}", "/deployments",
    "/deployments/{deployment_id}/statuses", "/issues/{issue_number}/comments", "/issues/comments/{comment_id}", "/pulls/{pull_number}",
    "/issues/comments/{comment_id}/reactions", "/comments/{comment_id}/reactions",
    "/collaborators/{username}/permission", "/code-scanning/sarifs"].map(path => REPOSITORY + path),
];

const [from, to] = process.argv.slice(2);
const whole = JSON.parse(readFileSync(from, "utf8"));
const missing = PATHS.filter(path => !whole.paths[path]);
if (missing.length > 0) throw new Error(`the description has no ${missing.join(", ")}`);
const paths = Object.fromEntries(PATHS.map(path => [path, whole.paths[path]]));

const components = {};
const visit = value => {
  if (value === null || typeof value !== "object") return;
  if (typeof value.$ref === "string" && value.$ref.startsWith("#/components/")) {
    const [, , kind, name] = value.$ref.split("/");
    if (!components[kind]?.[name]) {
      (components[kind] ??= {})[name] = whole.components[kind][name];
      visit(components[kind][name]);
    }
  }
  for (const inner of Object.values(value)) visit(inner);
};
visit(paths);

const mend = value => {
  if (value === null || typeof value !== "object") return;
  if (value.content?.["application/json"]) value.content["application/vnd.github+json"] ??= value.content["application/json"];
  for (const [key, inner] of Object.entries(value)) {
    if (key === "expires_at" && typeof inner === "string") value[key] = "2099-01-01T00:00:00Z";
    else mend(inner);
  }
};
mend(paths);
mend(components);

const body = path => paths[path].post.requestBody.content["application/json"].schema;
body(`${REPOSITORY}/statuses/{sha}`).properties.description.maxLength = 140;
const completed = { required: ["status"], properties: { status: { enum: ["completed"] } } };
body(`${REPOSITORY}/check-runs`).allOf = [{ anyOf: [{ required: ["conclusion"] }, { not: completed }] }];

writeFileSync(to, JSON.stringify({ openapi: whole.openapi, info: whole.info, servers: [{ url: "/" }], paths, components }));
