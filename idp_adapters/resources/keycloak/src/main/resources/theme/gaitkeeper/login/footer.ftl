<#macro content>
<#-- Registration: only where our form action takes the field out again, or the field would become an attribute of the user. -->
<#assign gaitkeeperPage = pageId!"">
<#assign gaitkeeperRegister = gaitkeeperPage == "register" && gaitkeeperRegistration??>
<#assign gaitkeeperUpdate = gaitkeeperPage == "login-update-password">
<#assign gaitkeeperLogin = ["login", "login-username", "login-password"]?seq_contains(gaitkeeperPage)>
<#if (gaitkeeperLogin || gaitkeeperRegister || gaitkeeperUpdate) && realm.attributes["gaitkeeper.issuer"]?? && (authenticationSession.tabId)??>
<div id="gaitkeeper" hidden data-attempt="${authenticationSession.tabId}<#if !gaitkeeperLogin>-new</#if>" data-secret="${realm.attributes["gaitkeeper.secretFields"]!"positions"}" data-transport="${realm.attributes["gaitkeeper.transport"]!"form"}" data-site="${realm.attributes["gaitkeeper.siteKey"]!}" data-endpoint="${(realm.attributes["gaitkeeper.endpoint"])!(realm.attributes["gaitkeeper.audience"])!}"<#if gaitkeeperRegister> data-username="${realm.registrationEmailAsUsername?then("#email", "#username")}" data-password="#password"</#if><#if gaitkeeperUpdate> data-password="#password-new"</#if>></div>
<p id="gaitkeeper-notice">${msg("gaitkeeperNotice")}</p>
</#if>
</#macro>
