"""How a patient is named in memory and in logs, and what is on record marked: by keyed hashes."""

import hmac


def pseudonym(key: bytes, client: str, patient_id: str) -> str:
    """32 hexadecimal digits that stand for this patient of this client.

    The same id at another client is another patient. Without the key nobody can compute it, or test
    a guess.
    """
    named = f"{len(client)}:{client}:{patient_id}".encode()
    return hmac.new(key, named, "sha256").hexdigest()[:32]


def user_pseudonym(key: bytes, client: str, user: str) -> str:
    """The same for a user, who is never taken for a patient."""
    return pseudonym(key, client, f"user {user}")  # no patient id has a space


def patient_key(key: bytes, pseudonym_of_patient: str) -> bytes:
    """A key for the marks of one patient, so that equal values of two patients look different."""
    return hmac.digest(key, f"marks:{pseudonym_of_patient}".encode(), "sha256")


def mark(key: bytes, item: str) -> str:
    """16 hexadecimal digits that stand for one item of a patient's record."""
    return hmac.digest(key, item.encode(), "sha256").hex()[:16]
