"""How a patient is named in memory and in logs: by a keyed hash, never by an id."""

import hmac


def pseudonym(key: bytes, client: str, patient_id: str) -> str:
    """32 hexadecimal digits that stand for this patient of this client.

    The same id at another client is another patient. Without the key nobody can compute it, or test
    a guess.
    """
    named = f"{len(client)}:{client}:{patient_id}".encode()
    return hmac.new(key, named, "sha256").hexdigest()[:32]
