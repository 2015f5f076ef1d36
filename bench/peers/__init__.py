"""The same registration on another durable-execution library, measured in the same run as Liity's."""
