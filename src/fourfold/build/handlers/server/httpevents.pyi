from fourfold.functions.httpevents import Asked as Asked
from fourfold.functions.httpevents import Place as Place
from fourfold.functions.httpevents import event as event
