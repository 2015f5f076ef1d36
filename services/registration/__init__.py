"""Units, customers, registrations, the rules of the form, and the evidence of consent."""
