"""The same rules over a whole population: who would have a card, how often, and what a policy changes.

    sources      which files
      │ reading      file → blocks of whole lines
      │ sieve        block → lines that can hold something that a rule reads, and whose they are
      │ spool        those lines on disk, segment by segment, so that a killed run goes on
      │ grouping     DuckDB: which lines belong to which patient
      │ patient      one patient's lines → record → decision.decide, at each moment → PatientResult
      ▼ outputs      worklist, explanations, MeasureReport, List, report, run record

The core decides every patient; nothing here knows a rule. It filters, groups and moves lines.
"""
