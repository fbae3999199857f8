import time
from tests.pipeline.test_storm import *
@pytest.mark.parametrize("n",[500,1000,2000])
def test_big(stormy,n):
    house=stormy
    a=house.post(*list(faults(n)))
    t=time.monotonic()
    try:
        triage(house.services,a.delivery); print("OK")
    except Exception as e: print("FAILED",repr(e))
    print(n,"alerts in one delivery", round(time.monotonic()-t,1),"s")
