//! Real PostgreSQL and real Redis.

use std::path::PathBuf;

use serde_json::json;
use tidegate::model::invocation::InvocationSpec;
use tidegate::model::outcome::Outcome;
use tidegate::model::service::Ready;

use super::{service, stages};
use crate::executor::spec;

/// Their files; `None`, and written down as skipped, where they can not be had.
fn files(test: &str) -> Option<Vec<u8>> {
    let path = std::env::var_os("TIDEGATE_TEST_SERVICES").map(PathBuf::from).filter(|path| path.exists());
    let Some(path) = path else {
        let why = "PostgreSQL and Redis are not here: `.ci/services FOLDER` makes an archive of them, TIDEGATE_TEST_SERVICES names it";
        crate::engines::skip(test, why);
        return None;
    };
    Some(std::fs::read(path).unwrap())
}

#[tokio::test]
async fn a_step_works_with_a_real_postgresql_and_a_real_redis() {
    let Some(files) = files("services::a_step_works_with_a_real_postgresql_and_a_real_redis") else { return };
    // As the images of both do it.
    let begin = "initdb -D /dev/shm/db -U postgres --auth=trust -E UTF8 --locale=C >/dev/null && echo 'host all all all trust' >> /dev/shm/db/pg_hba.conf && \
        exec postgres -D /dev/shm/db -c listen_addresses='*' -c unix_socket_directories=/dev/shm";
    let path = "PATH=/bin:/usr/bin:/usr/lib/postgresql/15/bin";
    let redis = ["redis-server", "--bind", "0.0.0.0", "--save", "", "--protected-mode", "no"];
    for scene in stages() {
        let postgres =
            scene.made("postgres:15", &files, &json!({"Env": [path], "User": "app", "WorkingDir": "/tmp", "Entrypoint": ["/bin/sh", "-c", begin]}));
        let redis = scene.made("redis:7", &files, &json!({"Env": [path], "User": "999", "WorkingDir": "/tmp", "Cmd": redis}));
        let script = "psql -h db -U postgres -qAt -c 'create table t (x int); insert into t select generate_series(1, 1000); select sum(x) from t' && \
            redis-cli -h cache set key value && redis-cli -h cache get key";
        let mut asked = InvocationSpec { image: Some(redis.clone()), ..spec(script) };
        asked.env.insert("PGCONNECT_TIMEOUT".to_owned(), "10".to_owned());
        asked.services = vec![
            service("db", &postgres, Some(Ready::Command("psql -h db -U postgres -c 'select 1'".to_owned()))),
            service("cache", &redis, Some(Ready::Port(6379))),
        ];
        let (result, log) = scene.stand(asked).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}\n{}\n{}", scene.name, scene.log_of("db"), scene.log_of("cache"));
        assert_eq!(log, "500500\nOK\nvalue\n", "{}", scene.name);
        assert!(scene.log_of("db").contains("database system is ready to accept connections"), "{}", scene.log_of("db"));
        assert!(scene.log_of("cache").contains("Ready to accept connections"), "{}", scene.log_of("cache"));
        let took: Vec<_> = result.record.services.iter().map(|one| format!("{} after {} ms", one.name, one.ready_us.unwrap() / 1000)).collect();
        println!("{}: ready: {}", scene.name, took.join(", "));
    }
}
