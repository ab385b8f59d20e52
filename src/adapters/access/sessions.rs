//! Sessions of people.

use rusqlite::{OptionalExtension as _, params};

use super::tokens::micros;
use super::{Access, AccessError, digest, random};
use crate::model::access::Person;
use crate::model::secret::Secret;
use crate::model::time::Timestamp;

/// Sessions of one state folder; a new one takes the place of the oldest.
pub const MAX_SESSIONS: u32 = 10_000;

impl Access {
    /// Always a new one: what a browser brought before it logged in is worth nothing.
    pub fn begin_session(&self, person: &Person, now: Timestamp, expires: Timestamp) -> Result<Secret, AccessError> {
        let secret = random().map_err(|error| self.unusable(error))?;
        let begin = || {
            let connection = self.connection();
            connection.execute("DELETE FROM sessions WHERE expires <= ?1", [micros(now)])?;
            let older = "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions ORDER BY created DESC LIMIT -1 OFFSET ?1)";
            connection.execute(older, [MAX_SESSIONS - 1])?;
            let sql = "INSERT INTO sessions (digest, login, id, created, expires) VALUES (?1, ?2, ?3, ?4, ?5)";
            let id = i64::try_from(person.id).unwrap_or(i64::MAX);
            connection.execute(sql, params![digest(secret.reveal()), person.login, id, micros(now), micros(expires)])
        };
        begin().map_err(|error| self.unusable(error))?;
        Ok(secret)
    }

    pub fn session(&self, given: &[u8], now: Timestamp) -> Result<Option<Person>, AccessError> {
        if given.len() > 100 {
            return Ok(None);
        }
        let sql = "SELECT login, id FROM sessions WHERE digest = ?1 AND expires > ?2";
        let person = |row: &rusqlite::Row<'_>| Ok(Person { login: row.get(0)?, id: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0) });
        let connection = self.connection();
        connection.query_row(sql, params![digest(given), micros(now)], person).optional().map_err(|error| self.unusable(error))
    }

    pub fn end_session(&self, given: &[u8]) -> Result<(), AccessError> {
        self.connection().execute("DELETE FROM sessions WHERE digest = ?1", [digest(given)]).map(drop).map_err(|error| self.unusable(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_its_time_is_over_or_somebody_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(&folder.path().join("access.db")).expect("opened");
        let at = Timestamp::from_micros;
        let ada = Person { login: "ada".to_owned(), id: 7 };
        let (one, other) = (access.begin_session(&ada, at(1), at(10)).expect("begun"), access.begin_session(&ada, at(2), at(20)).expect("begun"));
        assert_eq!(access.session(one.reveal(), at(9)), Ok(Some(ada.clone())));
        assert_eq!((access.session(one.reveal(), at(10)), access.session(b"guess", at(3))), (Ok(None), Ok(None)));
        access.end_session(other.reveal()).expect("ended");
        assert_eq!(access.session(other.reveal(), at(3)), Ok(None));
    }
}
