"""What stands in a figure, as plain values."""


def labels_of(legend):
    return [text.get_text() for text in legend.get_texts()]
