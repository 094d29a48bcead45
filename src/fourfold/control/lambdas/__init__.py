"""Services as Lambda's API sees them: functions with names, versions, aliases, settings and event sources."""
