//! Real PostgreSQL and real Redis.

use std::path::PathBuf;

use tidegate::model::outcome::Outcome;
use tidegate::model::service::Ready;

use super::{Stage, service};
use crate::builder::{Made, TAR, digest, image};
use crate::registry::{skip, spec};

/// PostgreSQL and Redis as they are, in an image whose user is 999; `None`, and written down as skipped, where they can not be had.
fn databases(test: &str) -> Option<Made> {
    let path = std::env::var_os("TIDEGATE_TEST_SERVICES").map(PathBuf::from).filter(|path| path.exists());
    let Some(path) = path else {
        skip(test, "PostgreSQL and Redis are not here: `.ci/services FOLDER` makes an archive of them, TIDEGATE_TEST_SERVICES names it");
        return None;
    };
    let tar = std::fs::read(path).unwrap();
    let mut made = image(&[]).with("User", "app").with("WorkingDir", "/var/lib/data");
    made.config["config"]["Env"] = serde_json::json!(["PATH=/bin:/usr/bin:/usr/lib/postgresql/15/bin"]);
    made.config["rootfs"]["diff_ids"] = serde_json::json!([digest(&tar)]);
    made.layers = vec![(tar, TAR)];
    Some(made)
}

#[tokio::test]
async fn a_step_works_with_a_real_postgresql_and_a_real_redis() {
    const TEST: &str = "a_step_works_with_a_real_postgresql_and_a_real_redis";
    let (Some(stage), Some(made)) = (Stage::new(TEST), databases(TEST)) else { return };
    // As the images of both do it.
    let begin = "initdb -D /var/lib/data/db -U postgres --auth=trust -E UTF8 --locale=C >/dev/null && \
        echo 'host all all all trust' >> /var/lib/data/db/pg_hba.conf && exec postgres -D /var/lib/data/db -c listen_addresses='*' -c unix_socket_directories=/tmp";
    stage.registry.push("postgres:15", &made.clone().with("Entrypoint", serde_json::json!(["/bin/sh", "-c", begin]))).await;
    let redis = ["redis-server", "--bind", "0.0.0.0", "--save", "", "--protected-mode", "no"];
    stage.registry.push("redis:7", &made.clone().with("Cmd", serde_json::json!(redis))).await;
    let (postgres, redis) = (stage.registry.name("postgres:15"), stage.registry.name("redis:7"));
    let script = "psql -h db -U postgres -qAt -c 'create table t (x int); insert into t select generate_series(1, 1000); select sum(x) from t' && \
        redis-cli -h cache set key value && redis-cli -h cache get key && id -u";
    let mut asked = spec(&redis, script);
    asked.env.insert("PGCONNECT_TIMEOUT".to_owned(), "10".to_owned());
    asked.services = vec![
        service("db", &postgres, Some(Ready::Command("psql -h db -U postgres -c 'select 1'".to_owned()))),
        service("cache", &redis, Some(Ready::Port(6379))),
    ];
    let (result, log) = stage.run(asked).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}\n{}\n{}", stage.log_of("db"), stage.log_of("cache"));
    assert_eq!(log, "500500\nOK\nvalue\n999\n");
    assert!(stage.log_of("db").contains("database system is ready to accept connections"), "{}", stage.log_of("db"));
    assert!(stage.log_of("cache").contains("Ready to accept connections"), "{}", stage.log_of("cache"));
    let took: Vec<_> = result.record.services.iter().map(|one| format!("{} after {} ms", one.name, one.ready_us.unwrap() / 1000)).collect();
    println!("ready: {}", took.join(", "));
}
