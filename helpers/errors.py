"""The one way in which a room tells a person that something cannot be done."""


class UserError(Exception):
    """A problem that the user can mend: one clear sentence, and what to do about it.

    Commands print both and no traceback; in a notebook they are the exception's text.
    """

    def __init__(self, sentence: str, remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(sentence, remedy)
        self.sentence = sentence
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.sentence}\n  Remedy: {self.remedy}" if self.remedy else self.sentence
