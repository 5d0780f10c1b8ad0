-- When an account's last event came, and which reports came on a day.
CREATE INDEX webhook_event_by_time ON webhook_event (tenant_id, processor_account_id, receive_time);
