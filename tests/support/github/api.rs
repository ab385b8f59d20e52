//! What it answers. The rules are GitHub's: what is too long or too much is 422, who may not see something is told that it is not there.

use serde_json::{Value, json};

use super::keys;
use super::world::{Asked, Check, Comment, Deployment, Sarif, Status, World, now};

type Answer = (u16, Value);

/// Who it is, and what to say if they may not ask.
pub fn who(world: &World, header: Option<&str>, path: &str) -> (String, Result<(), Answer>) {
    let bad = |message: &str| Err((401, json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })));
    let Some(token) = header.and_then(|header| header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("token "))) else {
        return ("nobody".to_owned(), bad("Requires authentication"));
    };
    if token == keys::PLAIN {
        return ("token".to_owned(), Ok(()));
    }
    if let Some((installation, ends)) = world.tokens.get(token) {
        let good = if *ends > now() && world.installations.contains(installation) { Ok(()) } else { bad("Bad credentials") };
        return (format!("installation {installation}"), good);
    }
    if !path.starts_with("/app") && !path.ends_with("/installation") {
        return ("nobody".to_owned(), bad("Bad credentials"));
    }
    match keys::is_the_app(token) {
        Ok(()) => ("app".to_owned(), Ok(())),
        Err(why) => ("nobody".to_owned(), bad(&why)),
    }
}

pub fn answer(world: &mut World, asked: &Asked) -> Answer {
    let parts: Vec<String> = asked.path.trim_start_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["user"]) => (200, json!({ "login": author(&asked.by) })),
        ("GET", ["app"]) => (200, json!({ "id": keys::APP, "slug": "tidegate-test" })),
        ("POST", ["app", "installations", id, "access_tokens"]) => token(world, id.parse().unwrap_or(0)),
        (method, ["repos", owner, name, rest @ ..]) => {
            let repository = format!("{owner}/{name}");
            if !world.repositories.contains(&repository) {
                return not_found();
            }
            of_repository(world, asked, method, &repository, rest)
        }
        _ => not_found(),
    }
}

fn of_repository(world: &mut World, asked: &Asked, method: &str, repository: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("GET", ["installation"]) => (200, json!({ "id": world.installations.iter().next().copied().unwrap_or_default() })),
        ("POST", ["check-runs"]) if asked.by == "token" => (403, json!({ "message": "You must authenticate via a GitHub App." })),
        ("POST", ["check-runs"]) => create_check(world, repository, &asked.body),
        ("PATCH", ["check-runs", id]) => with_check(world, repository, id, |check| update_check(check, &asked.body)),
        ("GET", ["check-runs", id]) => with_check(world, repository, id, |check| (200, shown(check))),
        ("GET", ["commits", sha, "check-runs"]) => list_checks(world, asked, repository, sha),
        ("GET", ["commits", sha, "statuses"]) => {
            let all = world.statuses.iter().rev().filter(|it| it.repository == repository && it.sha == *sha);
            let shown = |it: &Status| json!({ "id": 1, "state": it.state, "context": it.context, "description": it.description });
            (200, page(asked, all.map(shown).collect()))
        }
        ("POST", ["statuses", sha]) => status(world, repository, sha, &asked.body),
        ("POST", ["deployments"]) => create_deployment(world, repository, &asked.body),
        ("GET", ["deployments"]) => list_deployments(world, asked, repository),
        ("POST", ["deployments", id, "statuses"]) => deployment_status(world, repository, id, &asked.body),
        ("GET", ["deployments", id, "statuses"]) => {
            let Some(found) = world.deployments.iter().find(|it| it.repository == repository && it.id.to_string() == **id) else {
                return not_found();
            };
            let newest_first: Vec<Value> =
                found.statuses.iter().rev().map(|(state, said)| json!({ "id": 1, "state": state, "description": said })).collect();
            (200, page(asked, newest_first))
        }
        ("POST", ["issues", number, "comments"]) => comment(world, asked, repository, number),
        ("GET", ["issues", number, "comments"]) => {
            let all = world.comments.iter().filter(|it| it.repository == repository && it.issue.to_string() == **number);
            (200, page(asked, all.map(written).collect()))
        }
        ("POST", ["issues", "comments", id, "reactions"] | ["comments", id, "reactions"]) => react(world, id, &asked.body),
        ("PATCH", ["issues", "comments", id]) => edit_comment(world, repository, id, &asked.body),
        ("GET", ["collaborators", login, "permission"]) => {
            let role = world.roles.get(&(repository.to_owned(), (*login).to_owned())).map_or("none", String::as_str);
            let permission = match role {
                "admin" => "admin",
                "maintain" | "write" => "write",
                "none" => "none",
                _ => "read",
            };
            (200, json!({ "permission": permission, "role_name": role, "user": { "login": login } }))
        }
        ("GET", ["pulls", number]) => {
            let found = number.parse().ok().and_then(|number| world.pulls.get(&(repository.to_owned(), number)));
            found.map_or_else(not_found, |pull| (200, pull.clone()))
        }
        ("POST", ["code-scanning", "sarifs"]) => sarif(world, repository, &asked.body),
        _ => not_found(),
    }
}

fn token(world: &mut World, installation: u64) -> Answer {
    if !world.installations.contains(&installation) {
        return not_found();
    }
    let token = format!("ghs_{:036}", world.next());
    let ends = now() + world.token_life.as_secs();
    world.tokens.insert(token.clone(), (installation, ends));
    let ends = jiff::Timestamp::from_second(i64::try_from(ends).expect("a time")).expect("a time").to_string();
    (201, json!({ "token": token, "expires_at": ends, "permissions": { "checks": "write" }, "repository_selection": "all" }))
}

fn create_check(world: &mut World, repository: &str, body: &Value) -> Answer {
    let (Some(name), Some(sha)) = (text(body, "name"), text(body, "head_sha")) else { return invalid("name and head_sha are required") };
    let mut check = Check {
        repository: repository.to_owned(),
        id: 0,
        name,
        sha,
        external: String::new(),
        status: "queued".to_owned(),
        conclusion: None,
        title: String::new(),
        summary: String::new(),
        text: String::new(),
        annotations: Vec::new(),
        actions: Vec::new(),
        details: None,
        history: Vec::new(),
    };
    let (status, said) = update_check(&mut check, body);
    if status != 200 {
        return (status, said);
    }
    check.id = world.next();
    let said = shown(&check);
    world.checks.push(check);
    (201, said)
}

fn update_check(check: &mut Check, body: &Value) -> Answer {
    if let Some(error) = wrong_with_check(body) {
        return invalid(&error);
    }
    check.external = text(body, "external_id").unwrap_or_else(|| check.external.clone());
    check.details = text(body, "details_url").or_else(|| check.details.clone());
    if let Some(actions) = body["actions"].as_array() {
        check.actions = actions.clone();
    }
    if let Some(output) = body.get("output") {
        check.title = text(output, "title").unwrap_or_else(|| check.title.clone());
        check.summary = text(output, "summary").unwrap_or_else(|| check.summary.clone());
        check.text = text(output, "text").unwrap_or_else(|| check.text.clone());
        // Added to what there is: GitHub takes none back.
        check.annotations.extend(output["annotations"].as_array().cloned().unwrap_or_default());
    }
    if let Some(conclusion) = text(body, "conclusion") {
        (check.status, check.conclusion) = ("completed".to_owned(), Some(conclusion));
    } else if let Some(status) = text(body, "status") {
        (check.status, check.conclusion) = (status, None);
    }
    let word = check.conclusion.clone().unwrap_or_else(|| check.status.clone());
    if check.history.last() != Some(&word) {
        check.history.push(word);
    }
    (200, shown(check))
}

fn wrong_with_check(body: &Value) -> Option<String> {
    let long = |value: &Value, most: usize| value.as_str().is_some_and(|text| text.chars().count() > most);
    let output = &body["output"];
    let annotations = output["annotations"].as_array().cloned().unwrap_or_default();
    let actions = body["actions"].as_array().cloned().unwrap_or_default();
    let conclusions = ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];
    if body["status"] == "completed" && body["conclusion"].is_null() {
        return Some("For 'properties/conclusion', nil is not a string.".to_owned());
    }
    if body["conclusion"].as_str().is_some_and(|word| !conclusions.contains(&word)) {
        return Some(format!("{} is no conclusion", body["conclusion"]));
    }
    if !output.is_null() && (text(output, "title").is_none() || text(output, "summary").is_none()) {
        return Some("output needs title and summary".to_owned());
    }
    for (value, what) in [(&output["summary"], "summary"), (&output["text"], "text")] {
        if value.as_str().is_some_and(|text| text.len() > 65_535) {
            return Some(format!("{what} is too long (maximum is 65535 bytes)"));
        }
    }
    if annotations.len() > 50 {
        return Some("No more than 50 items are allowed; annotations".to_owned());
    }
    if annotations
        .iter()
        .any(|it| it["path"].as_str().is_none_or(str::is_empty) || it["start_line"].as_u64().is_none() || it["message"].as_str().is_none())
    {
        return Some("an annotation needs path, start_line, end_line, annotation_level and message".to_owned());
    }
    if actions.len() > 3 || actions.iter().any(|it| long(&it["label"], 20) || long(&it["description"], 40) || long(&it["identifier"], 20)) {
        return Some("actions: at most 3, of at most 20, 40 and 20 characters".to_owned());
    }
    None
}

fn with_check(world: &mut World, repository: &str, id: &str, then: impl FnOnce(&mut Check) -> Answer) -> Answer {
    let found = world.checks.iter_mut().find(|check| check.repository == repository && check.id.to_string() == id);
    found.map_or_else(not_found, then)
}

fn shown(check: &Check) -> Value {
    json!({
        "id": check.id, "name": check.name, "head_sha": check.sha, "external_id": check.external, "status": check.status, "conclusion": check.conclusion,
        "output": { "title": check.title, "summary": check.summary, "annotations_count": check.annotations.len() }, "app": { "id": keys::APP },
    })
}

fn list_checks(world: &World, asked: &Asked, repository: &str, sha: &str) -> Answer {
    let name = parameter(asked, "check_name");
    let found: Vec<&Check> =
        world.checks.iter().filter(|it| it.repository == repository && it.sha == sha && name.as_ref().is_none_or(|name| *name == it.name)).collect();
    let latest =
        |check: &&Check| parameter(asked, "filter").as_deref() == Some("all") || !found.iter().any(|it| it.name == check.name && it.id > check.id);
    let all: Vec<Value> = found.iter().copied().filter(latest).map(shown).collect();
    (200, json!({ "total_count": all.len(), "check_runs": page(asked, all) }))
}

fn status(world: &mut World, repository: &str, sha: &str, body: &Value) -> Answer {
    let description = text(body, "description").unwrap_or_default();
    if description.chars().count() > 140 {
        return invalid("description is too long (maximum is 140 characters)");
    }
    let Some(state) = text(body, "state").filter(|state| ["error", "failure", "pending", "success"].contains(&state.as_str())) else {
        return invalid("state is not one of error, failure, pending, success");
    };
    let context = text(body, "context").unwrap_or_else(|| "default".to_owned());
    let said = json!({ "id": world.next(), "state": state, "context": context, "description": description });
    world.statuses.push(Status {
        repository: repository.to_owned(),
        sha: sha.to_owned(),
        state,
        context,
        description,
        url: text(body, "target_url"),
    });
    (201, said)
}

fn create_deployment(world: &mut World, repository: &str, body: &Value) -> Answer {
    let Some(sha) = text(body, "ref") else { return invalid("ref is required") };
    if body["required_contexts"].as_array().is_none_or(|contexts| !contexts.is_empty()) {
        return (409, json!({ "message": "Conflict: Commit status checks failed" }));
    }
    let deployment = Deployment {
        repository: repository.to_owned(),
        id: world.next(),
        sha,
        environment: text(body, "environment").unwrap_or_else(|| "production".to_owned()),
        task: text(body, "task").unwrap_or_else(|| "deploy".to_owned()),
        payload: body["payload"].clone(),
        description: text(body, "description").unwrap_or_default(),
        statuses: Vec::new(),
    };
    let said = deployed(&deployment);
    world.deployments.push(deployment);
    (201, said)
}

fn deployed(it: &Deployment) -> Value {
    json!({ "id": it.id, "sha": it.sha, "ref": it.sha, "environment": it.environment, "task": it.task, "payload": it.payload })
}

fn list_deployments(world: &World, asked: &Asked, repository: &str) -> Answer {
    let same = |name: &str, value: &str| parameter(asked, name).is_none_or(|wanted| wanted == value);
    let all = world.deployments.iter().rev().filter(|it| it.repository == repository && same("sha", &it.sha) && same("environment", &it.environment));
    (200, page(asked, all.map(deployed).collect()))
}

fn deployment_status(world: &mut World, repository: &str, id: &str, body: &Value) -> Answer {
    let states = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];
    let Some(state) = text(body, "state").filter(|state| states.contains(&state.as_str())) else { return invalid("state is not one of them") };
    let said = text(body, "description").unwrap_or_default();
    if said.chars().count() > 140 {
        return invalid("description is too long (maximum is 140 characters)");
    }
    let number = world.next();
    let Some(found) = world.deployments.iter_mut().find(|it| it.repository == repository && it.id.to_string() == id) else { return not_found() };
    found.statuses.push((state.clone(), said));
    (201, json!({ "id": number, "state": state }))
}

fn comment(world: &mut World, asked: &Asked, repository: &str, number: &str) -> Answer {
    let (Some(body), Ok(issue)) = (text(&asked.body, "body"), number.parse()) else { return invalid("body is required") };
    if body.chars().count() > 65_536 {
        return invalid("body is too long (maximum is 65536 characters)");
    }
    let id = world.next();
    let author = author(&asked.by).to_owned();
    world.comments.push(Comment { repository: repository.to_owned(), issue, id, body: body.clone(), author, edits: 0 });
    (201, json!({ "id": id, "body": body }))
}

fn author(by: &str) -> &'static str {
    if by == "token" { "somebody" } else { keys::BOT }
}

fn written(it: &Comment) -> Value {
    let app = if it.author == keys::BOT { json!({ "id": keys::APP }) } else { Value::Null };
    json!({ "id": it.id, "body": it.body, "user": { "login": it.author, "type": "Bot" }, "performed_via_github_app": app })
}

fn edit_comment(world: &mut World, repository: &str, id: &str, body: &Value) -> Answer {
    let Some(text) = text(body, "body").filter(|text| text.chars().count() <= 65_536) else { return invalid("body is too long or not there") };
    let Some(found) = world.comments.iter_mut().find(|it| it.repository == repository && it.id.to_string() == id) else { return not_found() };
    (found.body, found.edits) = (text, found.edits + 1);
    (200, json!({ "id": found.id, "body": found.body }))
}

fn react(world: &mut World, comment: &str, body: &Value) -> Answer {
    let known = ["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"];
    let (Some(content), Ok(comment)) = (text(body, "content").filter(|it| known.contains(&it.as_str())), comment.parse()) else {
        return invalid("content is not one of them");
    };
    let new = world.reactions.insert((comment, content.clone()));
    (if new { 201 } else { 200 }, json!({ "id": world.next(), "content": content }))
}

fn sarif(world: &mut World, repository: &str, body: &Value) -> Answer {
    use base64::Engine as _;
    use std::io::Read as _;
    let (Some(sha), Some(reference), Some(packed)) = (text(body, "commit_sha"), text(body, "ref"), text(body, "sarif")) else {
        return invalid("commit_sha, ref and sarif are required");
    };
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(packed) else { return invalid("sarif is not base64") };
    if bytes.len() > 10 << 20 {
        return (413, json!({ "message": "Payload too large" }));
    }
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).is_ok();
    let Some(sarif) = serde_json::from_str(&text).ok().filter(|_| unpacked) else { return invalid("sarif is not gzipped JSON") };
    let id = world.next().to_string();
    world.sarifs.push(Sarif { repository: repository.to_owned(), sha, reference, sarif });
    (202, json!({ "id": id, "url": format!("https://api.github.com/repos/{repository}/code-scanning/sarifs/{id}") }))
}

fn page(asked: &Asked, all: Vec<Value>) -> Value {
    let number = |name: &str, or: usize| parameter(asked, name).and_then(|it| it.parse().ok()).unwrap_or(or);
    let (size, page) = (number("per_page", 30).min(100), number("page", 1).max(1));
    Value::Array(all.into_iter().skip(size * (page - 1)).take(size).collect())
}

fn parameter(asked: &Asked, name: &str) -> Option<String> {
    url::form_urlencoded::parse(asked.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn decoded(part: &str) -> String {
    // A plus sign is one in a path.
    url::form_urlencoded::parse(format!("x={}", part.replace('+', "%2B")).as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn text(body: &Value, name: &str) -> Option<String> {
    body[name].as_str().map(str::to_owned)
}

fn not_found() -> Answer {
    (404, json!({ "message": "Not Found", "documentation_url": "https://docs.github.com/rest" }))
}

fn invalid(why: &str) -> Answer {
    (422, json!({ "message": "Validation Failed", "errors": [{ "message": why }] }))
}
