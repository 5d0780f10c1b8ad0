"""Documents that are made of the books: localised, typeset as PDF/A-3, and as EN 16931 e-invoices."""
