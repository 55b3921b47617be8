"""The CDS Hooks wire: what comes in a call and what goes out in a card."""
