//! Tokens of programs.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Access, AccessError, digest, random};
use crate::model::access::{Scopes, Token};
use crate::model::secret::Secret;
use crate::model::time::Timestamp;

/// What every token begins with, so that a scanner knows a lost one.
pub const PREFIX: &str = "tgp_";
/// Characters of a name.
pub const MAX_NAME: usize = 64;
/// Tokens of one state folder.
pub const MAX_TOKENS: usize = 1_000;
/// How exactly it is known when a token was last used: one write a minute at most.
const USED: u64 = 60_000_000;

impl Access {
    /// The only time that the token itself is seen.
    pub fn create_token(&self, name: &str, scopes: &Scopes, now: Timestamp, expires: Option<Timestamp>) -> Result<Secret, AccessError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(AccessError::Name { given: name.chars().take(MAX_NAME).collect() });
        }
        let secret = random().map_err(|error| self.unusable(error))?;
        let token = [PREFIX.as_bytes(), secret.reveal()].concat();
        let connection = self.connection();
        let count: i64 = connection.query_row("SELECT count(*) FROM tokens", (), |row| row.get(0)).map_err(|error| self.unusable(error))?;
        if count >= MAX_TOKENS as i64 {
            return Err(AccessError::TooMany);
        }
        let sql = "INSERT INTO tokens (name, digest, scopes, created, expires) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO NOTHING";
        let row = params![name, digest(&token), scopes.words(), micros(now), expires.map(micros)];
        match connection.execute(sql, row).map_err(|error| self.unusable(error))? {
            0 => Err(AccessError::Taken(name.to_owned())),
            _ => Ok(Secret::new(token)),
        }
    }

    /// All of them, by name. Those that have expired as well: a person wants to know what became of one.
    pub fn tokens(&self) -> Result<Vec<Token>, AccessError> {
        let connection = self.connection();
        let list = || {
            let mut statement = connection.prepare("SELECT name, scopes, created, expires, used FROM tokens ORDER BY name")?;
            statement.query_map((), token)?.collect::<rusqlite::Result<Vec<Token>>>()
        };
        list().map_err(|error| self.unusable(error))
    }

    /// From now on nobody gets in with it.
    pub fn revoke_token(&self, name: &str) -> Result<(), AccessError> {
        match self.connection().execute("DELETE FROM tokens WHERE name = ?1", [name]).map_err(|error| self.unusable(error))? {
            0 => Err(AccessError::Unknown(name.to_owned())),
            _ => Ok(()),
        }
    }

    /// Whose token this is, if it is one and holds.
    pub fn token(&self, given: &[u8], now: Timestamp) -> Result<Option<Token>, AccessError> {
        if !given.starts_with(PREFIX.as_bytes()) || given.len() > 100 {
            return Ok(None);
        }
        let connection = self.connection();
        let sql = "SELECT name, scopes, created, expires, used FROM tokens WHERE digest = ?1";
        let found = connection.query_row(sql, [digest(given)], token).optional().map_err(|error| self.unusable(error))?;
        let Some(found) = found.filter(|token| token.expires.is_none_or(|expires| now < expires)) else { return Ok(None) };
        if found.used.is_none_or(|used| now.as_micros() >= used.as_micros().saturating_add(USED)) {
            // Only a note: a full disk keeps nobody out.
            let _ = connection.execute("UPDATE tokens SET used = ?1 WHERE name = ?2", params![micros(now), found.name]);
        }
        Ok(Some(found))
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let moment = |micros: i64| Timestamp::from_micros(u64::try_from(micros).unwrap_or(0));
    Ok(Token {
        name: row.get(0)?,
        scopes: Scopes::of(&row.get::<_, String>(1)?),
        created: moment(row.get(2)?),
        expires: row.get::<_, Option<i64>>(3)?.map(moment),
        used: row.get::<_, Option<i64>>(4)?.map(moment),
    })
}

pub(super) fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Scope;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_micros(minutes * 60_000_000)
    }

    #[test]
    fn a_token_is_known_until_it_expires_or_is_revoked_and_is_kept_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.db");
        let access = Access::open(&path).expect("opened");
        let scopes = Scopes::new([Scope::Run]);
        let ci = access.create_token("ci", &scopes, at(1), Some(at(10))).expect("made");
        let ever = access.create_token("ever", &scopes, at(1), None).expect("made");
        assert!(ci.reveal().starts_with(b"tgp_") && ci.reveal().len() == 47 && ci != ever);
        assert_eq!(access.create_token("ci", &scopes, at(1), None), Err(AccessError::Taken("ci".to_owned())));
        let known = |secret: &Secret, now| access.token(secret.reveal(), now).expect("asked").map(|token| token.name);
        assert_eq!((known(&ci, at(9)).as_deref(), known(&ci, at(10)), known(&ever, at(10)).as_deref()), (Some("ci"), None, Some("ever")));
        for wrong in [&b""[..], b"tgp_", &ci.reveal()[..46], &[ci.reveal(), b"x"].concat(), &ci.reveal()[4..], b"tgp_' OR 1=1 --"] {
            assert_eq!(access.token(wrong, at(2)), Ok(None));
        }
        let listed = access.tokens().expect("listed");
        assert_eq!(listed.iter().map(|token| (token.name.as_str(), token.used)).collect::<Vec<_>>(), [("ci", Some(at(9))), ("ever", Some(at(10)))]);
        access.revoke_token("ever").expect("revoked");
        assert_eq!((known(&ever, at(2)), access.revoke_token("ever")), (None, Err(AccessError::Unknown("ever".to_owned()))));
        drop(access);
        for file in std::fs::read_dir(folder.path()).expect("files") {
            let bytes = std::fs::read(file.expect("a file").path()).expect("read");
            assert!(!bytes.windows(20).any(|window| window == &ci.reveal()[4..24]), "the token itself was kept");
        }
    }

    #[test]
    fn names_are_plain() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(&folder.path().join("access.db")).expect("opened");
        for name in ["", "a b", "a\nb", "../x", &"x".repeat(65)] {
            assert!(matches!(access.create_token(name, &Scopes::default(), at(1), None), Err(AccessError::Name { .. })), "{name:?}");
        }
    }
}
