<% response.sendRedirect(request.getContextPath() + "/list"); %>
