//! The App's key, made once a test binary with openssl: a key in the repository would be one that others could use.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

pub const APP: u64 = 4711;
/// What the App is called where it writes.
pub const BOT: &str = "tidegate-test[bot]";
pub const PLAIN: &str = "plain-token-of-a-test-0123456789";

struct Keys {
    _folder: tempfile::TempDir,
    private: PathBuf,
    public: Vec<u8>,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let private = folder.path().join("app.pem");
        let run = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(folder.path()).output().expect("openssl is installed");
            assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["genrsa", "-traditional", "-out", "app.pem", "2048"]);
        run(&["rsa", "-in", "app.pem", "-pubout", "-out", "public.pem"]);
        let public = std::fs::read(folder.path().join("public.pem")).expect("the public key");
        Keys { private, public, _folder: folder }
    })
}

pub fn private_key() -> &'static Path {
    &keys().private
}

/// Whether GitHub would take it: signed by the App, of the App, issued in the past, and good for ten minutes at most.
pub fn is_the_app(jwt: &str) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        iss: serde_json::Value,
        iat: u64,
        exp: u64,
    }
    let key = DecodingKey::from_rsa_pem(&keys().public).expect("a public key");
    let claims = jsonwebtoken::decode::<Claims>(jwt, &key, &Validation::new(Algorithm::RS256)).map_err(|error| error.to_string())?.claims;
    let iss = claims.iss.as_u64().map_or_else(|| claims.iss.as_str().unwrap_or_default().to_owned(), |n| n.to_string());
    let now = super::world::now();
    match () {
        () if iss != APP.to_string() => Err(format!("'Issuer' claim ('iss') is {iss}")),
        () if claims.iat > now => Err("'Issued at' claim ('iat') is in the future".to_owned()),
        () if claims.exp > now + 600 => Err("'Expiration time' claim ('exp') is too far in the future".to_owned()),
        () => Ok(()),
    }
}
