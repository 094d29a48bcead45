<%@ page contentType="text/plain" %>${1 + 1} <%= application.getContextPath() %>
