"""Units, customers, their registrations, the rules of the form and the evidence of consent."""
