"""Values, states and Protocols; pure: nothing here talks to the world or waits."""
