"""Advice on low alkaline phosphatase and antiresorptive drugs, as CDS Hooks cards."""
