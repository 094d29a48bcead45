<%@ page contentType="text/html; charset=UTF-8" import="java.util.Collection" %>
<!DOCTYPE html>
<title>${initParam.TITLE}</title>
<h1>${initParam.TITLE}</h1>
<form method="post"><input name="text" maxlength="200"> <button>Add</button></form>
<ul>
<% for (Object note : (Collection<?>) request.getAttribute("notes")) {
     String text = note.toString().replace("&", "&amp;").replace("<", "&lt;"); %>
  <li><%= text %></li>
<% } %>
</ul>
