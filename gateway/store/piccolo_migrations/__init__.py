"""Migrations, as `piccolo migrations new gateway --auto` writes them; run in the order of their ids."""
