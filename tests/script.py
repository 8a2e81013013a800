"""One script for all that is tested on a server: what it says, and what must come out."""

from skeleton_of_thought.testing import script_reply

QUESTION = "How do I sleep better?"
SKELETON = "1. Keep regular hours\n2. Avoid late coffee\n3. Darken the bedroom"
POINTS = {
    1: "Go to bed and get up at the same time every day.",
    2: "Caffeine works for hours, so the last cup should be before noon.",
    3: "Light tells the body that it is day.",
}
DIRECT = "Keep regular hours, and sleep in the dark."
TEXT = (
    "1. Keep regular hours: Go to bed and get up at the same time every day.\n\n"
    "2. Avoid late coffee: Caffeine works for hours, so the last cup should be before noon.\n\n"
    "3. Darken the bedroom: Light tells the body that it is day."
)
REPLY = script_reply(skeleton=SKELETON, points=POINTS, direct=DIRECT)

ALONE = {"Connection": "close"}
"""Headers for clients that nobody closes when their loop ends: each request has a connection of its own."""
