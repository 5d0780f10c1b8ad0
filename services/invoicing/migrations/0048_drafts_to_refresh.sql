-- Which drafts are to be refreshed is asked before any are finalized: not by looking at all that wait for their turn.
CREATE INDEX invoice_to_refresh ON invoice (tenant_id, draft_until, id)
    WHERE state = 'draft' AND NOT is_sealed AND needs_refresh;
