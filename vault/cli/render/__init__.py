"""From data to what is shown: functions that take the API's models and return Rich renderables. They make no calls."""
