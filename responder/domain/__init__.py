"""The words of this project as frozen dataclasses and enums; standard library only."""
