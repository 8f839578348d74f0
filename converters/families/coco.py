"""The 80 classes of COCO in the order detectors number them."""

COCO_80 = tuple(
    """person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|parking meter|
bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|suitcase|frisbee|skis|
snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle|wine glass|cup|fork|
knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|potted plant|bed|
dining table|toilet|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|
scissors|teddy bear|hair drier|toothbrush""".replace("\n", "").split("|")
)

COCO_17_KEYPOINTS = tuple(
    """nose|left_eye|right_eye|left_ear|right_ear|left_shoulder|right_shoulder|left_elbow|right_elbow|left_wrist|
right_wrist|left_hip|right_hip|left_knee|right_knee|left_ankle|right_ankle""".replace("\n", "").split("|")
)
"""The 17 keypoints of COCO's people, in the order of its annotations; left and right are the person's own."""

_ABSENT = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
_PRESENT = iter(COCO_80)
COCO_91 = tuple(f"unused_{index}" if index in _ABSENT else next(_PRESENT) for index in range(91))
"""COCO's classes by the numbers of its annotations, 0 to 90, of which 80 are in use."""
