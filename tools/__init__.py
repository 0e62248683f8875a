"""The application: what people run. Installed as `simulacra.tools`; imports inside it are relative."""
