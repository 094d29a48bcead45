from fourfold.functions.httpresults import PRELUDE as PRELUDE
from fourfold.functions.httpresults import Given as Given
from fourfold.functions.httpresults import MalformedError as MalformedError
from fourfold.functions.httpresults import answer as answer
from fourfold.functions.httpresults import prelude as prelude
