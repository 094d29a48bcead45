from fourfold.functions.httppaths import Route as Route
from fourfold.functions.httppaths import routes as routes
